"""Transactions seen from outside: statistics and what a product has earned; rows shown, and added, by the controls."""

import re
from datetime import datetime
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import Transaction
from meter.sandbox.bookkeeping.payments import CURRENCY, MAX_AMOUNT
from meter.sandbox.bookkeeping.periods import LAST_MOMENT, moment_of
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import ENVIRONMENTS, Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import Reading, custom
from meter.sandbox.rest.timestamps import unix_seconds
from meter.sandbox.sales.refunds import shown

_LAST_MOMENT = moment_of(LAST_MOMENT).timestamp()
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Transactions:
    """The figures; REST has no route for them. The last two are controls."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def stats(self, call: Call) -> Answer:
        """`{fromDate?, toDate?}`: sums over both days and those between, in UTC; a time beside a date is ignored."""
        body = Reading(call.json())
        from_date, to_date = _date(body, "fromDate"), _date(body, "toDate")
        if from_date and to_date and from_date > to_date:
            body.issues.append(custom(("toDate",), "toDate must not be before fromDate"))
        body.done()
        found = self._catalogue[call.environment].books.between(from_date, to_date)
        answer = {
            "totalTransactions": found.total,
            "successful": found.successful,
            "failed": found.failed,
            "refunded": found.refunded,
            "totalRevenue": found.revenue,
            "currency": CURRENCY,
            "fromDate": from_date,
            "toDate": to_date,
        }
        return Answer.of(200, answer)

    def balance(self, call: Call) -> Answer:
        """`{productRef}`: what the product has earned since its beginning; `GET /v1/sdk/products/{ref}` agrees."""
        body = Reading(call.json())
        reference = body.text("productRef", required=True, min_length=1) or ""
        body.done()
        shelf = self._catalogue[call.environment]
        if reference not in shelf.products:
            raise ProviderError(404, f"Product with reference {reference} not found")
        found = shelf.books.of_product(reference)
        answer = {"productRef": reference, "balance": found.revenue, "currency": CURRENCY}
        return Answer.of(200, {**answer, "totalTransactions": found.total})

    def show(self, call: Call) -> Answer:
        """`GET /sandbox/transactions?environment=`: all rows, in the order of their dates."""
        environment = call.query.get("environment") or "sandbox"
        if environment not in ENVIRONMENTS:
            raise ProviderError(400, f"environment must be one of {', '.join(ENVIRONMENTS)}")
        rows = self._catalogue[ENVIRONMENTS[environment]].books.rows()
        in_order = sorted(rows, key=lambda row: row.created_at)
        return Answer.of(200, {"transactions": [shown(row) for row in in_order]})

    def add(self, call: Call) -> Answer:
        """`POST /sandbox/transactions`: 201; a payment that never went through a checkout, or failed there."""
        body = Reading(call.json())
        environment = ENVIRONMENTS[body.choice("environment", tuple(ENVIRONMENTS)) or "sandbox"]
        row = _read(body, call.now)
        row = _complete(self._catalogue[environment], row)
        self._catalogue.put(environment, [row])
        return Answer.of(201, shown(row))


def _date(body: Reading, name: str) -> str | None:
    """The `YYYY-MM-DD` that an ISO 8601 date or date-time begins with."""
    text = body.text(name)
    if text is None:
        return None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        if _DATE.match(text):
            return text[: len("2026-01-01")]
    body.issues.append(custom((name,), "Invalid date: expected YYYY-MM-DD"))
    return None


def _read(body: Reading, now: float) -> Transaction:
    """A payment from a checked body. Raises ProviderError (400)."""
    reference = body.text("reference", min_length=1)
    fields: dict[str, Any] = {
        "type": body.choice("type", ("purchase", "renewal", "topup", "usage")) or "purchase",
        "status": body.choice("status", ("succeeded", "failed")) or "succeeded",
        "amount": body.integer("amount", 1, MAX_AMOUNT, required=True),
        "purchase_ref": body.text("purchaseRef", min_length=1),
        "product_ref": body.text("productRef", min_length=1),
        "plan_ref": body.text("planRef", min_length=1),
    }
    fields["customer_ref"] = body.text("customerRef", required=fields["purchase_ref"] is None, min_length=1)
    created_at = body.text("createdAt")
    moment = now if created_at is None else unix_seconds(created_at)
    if moment is None or moment > _LAST_MOMENT:
        body.issues.append(custom(("createdAt",), "Invalid date-time: expected YYYY-MM-DDTHH:MM:SSZ"))
    body.done()
    moment = now if moment is None else moment
    return Transaction(reference=reference or new_reference("txn"), currency=CURRENCY, created_at=iso(moment), **fields)


def _complete(shelf: Shelf, row: Transaction) -> Transaction:
    """The row with what its purchase tells. Raises ProviderError if it is not new, or names what is not there."""
    if shelf.books.find(row.reference) is not None:
        raise ProviderError(409, f"Transaction with reference {row.reference} already exists")
    places = (
        ("Customer", row.customer_ref, shelf.customers),
        ("Product", row.product_ref, shelf.products),
        ("Plan", row.plan_ref, shelf.plans.get(row.product_ref or "", {})),
        ("Purchase", row.purchase_ref, shelf.purchases),
    )
    for what, reference, known in places:
        if reference is not None and reference not in known:
            raise ProviderError(404, f"{what} with reference {reference} not found")
    if row.purchase_ref is None:
        return row
    purchase = shelf.purchases[row.purchase_ref]
    bought = {"customer_ref": purchase.customer_ref, "product_ref": purchase.product_ref}
    return msgspec.structs.replace(row, plan_ref=purchase.plan.reference, **bought)
