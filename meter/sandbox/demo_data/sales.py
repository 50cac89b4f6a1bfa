"""Sales of the demo data: who bought what in the last weeks, what failed, and what went back.

79 payments: 20 times Pro at 49.00, 24 times Team at 99.00, 13 times Report at 12.50 and 22 top-ups at 20.00 dollars.
Two payments for Pro went back, one of them in full, so that 892.50 are left of Pro and 3,871.00 of everything.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from meter.sandbox.bookkeeping.entries import CREDITS_PER_MINOR_UNIT, Plan, Purchase, Transaction
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.payments import CURRENCY, payment
from meter.sandbox.bookkeeping.periods import moment_of
from meter.sandbox.rest.calls import SANDBOX
from meter.sandbox.rest.errors import iso

PURCHASE, PAYMENT = "pur_T3U4V5W6", "txn_D7E8F9G0"
"""The first sale: Jane's."""

_OLDEST_DAYS = 27
"""How long ago the first sale was: less than the shortest month, so that no renewal is due when it is loaded."""
_REFUNDED, _PARTLY_REFUNDED = 5, 9
_PARTIAL_REFUND = 3850
_TOPUP = 2000


class Buyers(NamedTuple):
    """Who buys each plan, who buys credits, and whose card was declined when paying for Pro."""

    pro: Plan
    of_pro: Sequence[str]
    team: Plan
    of_team: Sequence[str]
    report: Plan
    of_report: Sequence[str]
    of_credits: Sequence[str]
    declined: str


class Sales(NamedTuple):
    """Purchases and transactions, each the oldest first, and the credits that were bought."""

    purchases: Sequence[Purchase]
    rows: Sequence[Transaction]
    credits_bought: Sequence[Credit]


def sold(now: float, product_names: Mapping[str, str], buyers: Buyers) -> Sales:
    """Everything that was sold as of Unix seconds."""
    purchases = list(_purchases(now, product_names, buyers))
    payments = [_paid(number, purchase) for number, purchase in enumerate(purchases)]
    refunds = [
        _refund(payments[_REFUNDED], payments[_REFUNDED].amount, "Not what was expected", ago(now, 1, 20)),
        _refund(payments[_PARTLY_REFUNDED], _PARTIAL_REFUND, "The service was down", ago(now, 1, 21)),
    ]
    purchases[_REFUNDED] = msgspec.structs.replace(
        purchases[_REFUNDED], status="refunded", end_date=refunds[0].created_at, auto_renew=False
    )
    topups = [_topup(now, number, customer_ref) for number, customer_ref in enumerate(buyers.of_credits)]
    rows = [*payments, *topups, *_failed(now, buyers), *refunds]
    return Sales(sorted(purchases, key=_made_at), sorted(rows, key=_made_at), [_credit(topup) for topup in topups])


def _purchases(now: float, product_names: Mapping[str, str], buyers: Buyers) -> Iterator[Purchase]:
    bought = [
        *((buyers.pro, customer_ref) for customer_ref in buyers.of_pro),
        *((buyers.team, customer_ref) for customer_ref in buyers.of_team),
        *((buyers.report, customer_ref) for customer_ref in buyers.of_report),
    ]
    for number, (plan, customer_ref) in enumerate(bought):
        moment = iso(_when(now, number))
        yield Purchase(
            reference=named("pur", number) if number else PURCHASE,
            customer_ref=customer_ref,
            product_ref=plan.product_ref,
            plan=plan,
            created_at=moment,
            product_name=product_names[plan.product_ref],
            auto_renew=plan.is_recurring,
            paid_at=moment,
        )


def _paid(number: int, purchase: Purchase) -> Transaction:
    reference = named("txn", number) if number else PAYMENT
    return msgspec.structs.replace(payment(purchase, "purchase", purchase.created_at), reference=reference)


def _refund(source: Transaction, amount: int, reason: str, at: float) -> Transaction:
    changed: dict[str, Any] = {"type": "refund", "amount": amount, "created_at": iso(at), "reason": reason}
    reference = named(f"txn back {source.reference}", 0)
    return msgspec.structs.replace(source, reference=reference, source_transaction_ref=source.reference, **changed)


def _topup(now: float, number: int, customer_ref: str) -> Transaction:
    return Transaction(
        reference=named("txn of credits", number),
        type="topup",
        amount=_TOPUP,
        currency=CURRENCY,
        created_at=iso(_when(now, number + 3)),
        customer_ref=customer_ref,
    )


def _credit(topup: Transaction) -> Credit:
    """The credits of a top-up, the only ones that the customer has."""
    bought = topup.amount * CREDITS_PER_MINOR_UNIT
    at = moment_of(topup.created_at).timestamp()
    return Credit(SANDBOX, topup.customer_ref or "", "TOPUP", bought, bought, at)


def _failed(now: float, buyers: Buyers) -> Iterator[Transaction]:
    """Three cards that were declined."""
    tried = (
        (buyers.pro, buyers.declined),
        (buyers.team, buyers.of_team[-1]),
        (buyers.report, buyers.of_team[-1]),
    )
    for number, (plan, customer_ref) in enumerate(tried):
        yield Transaction(
            reference=named("txn declined", number),
            type="purchase",
            status="failed",
            amount=round(plan.price),
            currency=CURRENCY,
            created_at=iso(_when(now, number + 11)),
            customer_ref=customer_ref,
            product_ref=plan.product_ref,
            plan_ref=plan.reference,
        )


def ago(now: float, days: int, hour: int) -> float:
    """An hour (UTC) of the day that was so many days before today."""
    return now // 86400 * 86400 - days * 86400 + hour * 3600


def named(what: str, number: int) -> str:
    """The same reference whenever it is asked for; its prefix is the first word of `what`."""
    return f"{what.split()[0]}_{sha256(f'{what} {number}'.encode()).hexdigest()[:8].upper()}"


def _when(now: float, number: int) -> float:
    """When the sale of that number was: the first is the oldest, the others are scattered over the days since."""
    return ago(now, _OLDEST_DAYS - number * 5 % _OLDEST_DAYS, 9 + number % 9)


def _made_at(row: Purchase | Transaction) -> str:
    return row.created_at
