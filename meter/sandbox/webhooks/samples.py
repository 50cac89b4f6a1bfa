"""One event of each type, made of changes that would cause it, under the references of the provider's own examples."""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from meter.sandbox.bookkeeping.entries import AnyEntry, Customer, Plan, Product, Purchase, Session, Transaction
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.rest.errors import iso
from meter.sandbox.webhooks.entry_events import changes
from meter.sandbox.webhooks.events import Event, credit_events

_CUSTOMER, _PRODUCT, _PLAN, _PURCHASE = "cus_A1B2C3D4", "prd_P9Q0R1S2", "pln_K5L6M7N8", "pur_T9U0V1W2"


def samples(environment: int, now: float) -> dict[str, Event]:
    """An event of each type that the sandbox sends, as of Unix seconds."""
    found = [event for old, new in _changes(iso(now)) for event in changes(environment, old, new, now)]
    return {event.type: event for event in [*_credits(environment, now), *found]}


def _changes(moment: str) -> Iterator[tuple[AnyEntry | None, AnyEntry]]:
    """Before and after."""
    customer = Customer(_CUSTOMER, "ann@example.com", "Ann", moment)
    product = Product(_PRODUCT, "support-bot", moment, moment)
    plan = Plan(_PLAN, _PRODUCT, moment, moment, name="Pro", price=4900, billing_cycle="monthly")
    session = Session("0" * 32, "checkout", _CUSTOMER, moment, moment, _PRODUCT, _PLAN)
    paid = Transaction(
        "txn_D7E8F9G0", "purchase", 4900, "USD", moment, "succeeded", _CUSTOMER, _PRODUCT, _PLAN, _PURCHASE
    )
    yield from ((None, customer), (customer, replace(customer, name="Ann B.")))
    yield from ((product, replace(product, name="bot")), (product, replace(product, status="inactive")))
    yield from ((plan, replace(plan, price=5900)), (plan, replace(plan, status="archived")))
    yield from ((None, session), (session, replace(session, used_at=moment)))
    yield from ((None, paid), (None, replace(paid, status="failed")), (None, replace(paid, type="refund")))
    yield from _purchases(Purchase(_PURCHASE, _CUSTOMER, _PRODUCT, plan, moment, auto_renew=True), moment)


def _purchases(active: Purchase, moment: str) -> Iterator[tuple[Purchase | None, Purchase]]:
    other = replace(active.plan, reference="pln_F1G2H3J4", name="Starter")
    cancelled: dict[str, Any] = {"cancelled_at": moment, "end_date": moment, "auto_renew": False}
    yield None, active
    yield active, replace(active, end_date=moment)
    yield active, replace(active, renewed_at=moment)
    yield active, replace(active, counted_from=moment)
    yield active, replace(active, plan=other)
    yield active, replace(active, **cancelled)
    yield replace(active, **cancelled), active
    yield replace(active, status="trialing"), active
    for status in ("cancelled", "expired", "refunded", "suspended", "past_due"):
        yield active, replace(active, status=status)


def _credits(environment: int, now: float) -> list[Event]:
    rows = [
        Credit(environment, _CUSTOMER, kind, amount, balance, now)
        for kind, amount, balance in (("GRANT", 50, 50), ("TOPUP", 50, 100), ("REFUND", -10, 90), ("USAGE", -85, 5))
    ]
    empty = Credit(environment, _CUSTOMER, "USAGE", -5, 0, now)
    return [*credit_events([empty]), *credit_events(rows, low_balance_credits=10)]
