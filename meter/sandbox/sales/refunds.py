"""Refunds: money goes back in parts or whole, and with the last of it what was bought."""

from collections.abc import Iterable
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import CREDITS_PER_MINOR_UNIT, Purchase, Transaction
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.payments import MAX_AMOUNT
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.store import Store


class Refunds:
    """Gives money back; REST has no route for it."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._ledger = store.ledger
        self._catalogue = catalogue

    def create(self, call: Call) -> Answer:
        """`{sourceTransactionRef, amount?, reason?}`: 201 with the refund; without an amount, all that is left.

        A purchase that nothing pays for any more is `refunded` and gives no access from now on; refunded credits are
        taken back, as far as the customer still has them.
        """
        reference, amount, reason = _read(call)
        shelf = self._catalogue[call.environment]
        source = shelf.books.find(reference)
        if source is None:
            raise ProviderError(404, f"Transaction with reference {reference} not found")
        left = shelf.books.refundable(source)
        refund = _refund(source, _checked(source, amount, left), reason, iso(call.now))
        reserved = shelf.reserved("refund", reference, iso(call.now))
        if reserved is not None:
            refund = msgspec.structs.replace(refund, reference=reserved.gives)
        ended = _ended(shelf, source, refund.created_at) if refund.amount == left else []
        taken = self._taken(call, source, refund) if source.type == "topup" else []
        self._catalogue.put(call.environment, [refund, *ended, *([reserved] if reserved else [])], taken)
        return Answer.of(201, shown(refund))

    def _taken(self, call: Call, source: Transaction, refund: Transaction) -> list[Credit]:
        """The credits that go back with the money that they were bought for."""
        customer_ref = source.customer_ref or ""
        balance = self._ledger.balance(call.environment, customer_ref)
        amount = min(refund.amount * CREDITS_PER_MINOR_UNIT, max(balance, 0))
        credit = Credit(call.environment, customer_ref, "REFUND", -amount, balance - amount, call.now)
        return [credit] if amount else []


def shown(row: Transaction) -> dict[str, Any]:
    """A transaction as it is answered."""
    return {"status": row.status, **msgspec.to_builtins(row)}


def _read(call: Call) -> tuple[str, int | None, str | None]:
    body = Reading(call.json())
    reference = body.text("sourceTransactionRef", required=True, min_length=1) or ""
    amount = body.integer("amount", 1, MAX_AMOUNT)
    reason = body.text("reason")
    body.done()
    return reference, amount, reason


def _checked(source: Transaction, amount: int | None, left: int) -> int:
    """How much goes back. Raises ProviderError (400)."""
    if not source.has_paid:
        what = "is a refund itself" if source.is_refund else f"has {source.status}"
        raise ProviderError(400, f"Transaction {source.reference} cannot be refunded: it {what}")
    if not left:
        raise ProviderError(400, f"Transaction {source.reference} cannot be refunded: nothing of it is left")
    if amount is not None and amount > left:
        raise ProviderError(400, f"amount must be at most {left}, which is what is left of {source.reference}")
    return left if amount is None else amount


def _refund(source: Transaction, amount: int, reason: str | None, moment: str) -> Transaction:
    return msgspec.structs.replace(
        source,
        reference=new_reference("txn"),
        type="refund",
        amount=amount,
        created_at=moment,
        source_transaction_ref=source.reference,
        reason=reason,
    )


def _ended(shelf: Shelf, source: Transaction, moment: str) -> Iterable[Purchase]:
    """The purchase that the source has paid for, unless something else pays for the period that runs."""
    purchase = shelf.purchases.get(source.purchase_ref or "")
    if purchase is None or purchase.status == "refunded":
        return
    paid_since = purchase.paid_at or purchase.created_at
    others = [row for row in shelf.books.payments_of(purchase.reference) if row.reference != source.reference]
    if any(row.created_at >= paid_since and shelf.books.refundable(row) for row in others):
        return
    end_date = min(purchase.end_date or moment, moment)
    yield msgspec.structs.replace(purchase, status="refunded", end_date=end_date, auto_renew=False)
