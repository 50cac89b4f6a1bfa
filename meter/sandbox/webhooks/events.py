"""What a change is announced as: the webhook events of purchases, allowances and credits, decided by old and new value.

A change has the most telling event: `purchase.updated` stands for changes that have none of their own. Usage takes
credits event by event, yet is announced once a call and customer, with the sum and the last balance.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from meter.sandbox.bookkeeping.entries import Purchase
from meter.sandbox.bookkeeping.ledger import Credit

METER_NAME = "requests"
DEBITED = "customer.credit.debited"
_CREDIT_EVENTS = {"GRANT": "granted", "TOPUP": "topped_up", "USAGE": "debited"}
_STATUS_EVENTS = ("active", "cancelled", "expired", "refunded", "suspended", "past_due")


class Event(NamedTuple):
    """Something that happened at Unix seconds `at`; `object` is how things are now, `previous` what was otherwise."""

    environment: int
    type: str
    at: float
    object: dict[str, Any]
    previous: dict[str, Any] | None = None
    idempotency_key: str | None = None


def purchase_events(environment: int, old: Purchase | None, new: Purchase, at: float) -> Iterator[Event]:
    """What became of a purchase; nothing when it is as before."""
    shown = _shown(new)
    if old is None:
        yield Event(environment, "purchase.created", at, shown)
        if new.status == "active":
            yield Event(environment, "purchase.activated", at, shown)
        return
    earlier = _shown(old)
    previous = {name: value for name, value in earlier.items() if shown[name] != value}
    names = list(_changes(old, new)) or (["updated"] if previous else [])
    for name in names:
        yield Event(environment, f"purchase.{name}", at, shown, previous)
    if new.counted_from not in (old.counted_from, None):
        yield Event(environment, "usage.reset", at, _reset(new, at))


def _changes(old: Purchase, new: Purchase) -> Iterator[str]:
    """The changes of a purchase that have an event of their own."""
    if new.status != old.status and new.status in _STATUS_EVENTS:
        converted = (old.status, new.status) == ("trialing", "active")
        yield "trial_converted" if converted else "activated" if new.status == "active" else new.status
    elif new.cancelled_at is not None and old.cancelled_at is None:
        yield "cancellation_scheduled"
    elif new.cancelled_at is None and old.cancelled_at is not None:
        yield "reactivated"
    if new.plan.reference != old.plan.reference:
        yield "plan_changed"
    if new.renewed_at != old.renewed_at and new.renewed_at is not None:
        yield "renewed"


def credit_events(credits_changed: Sequence[Credit], low_balance_credits: int = 0) -> list[Event]:
    """What became of credits in one step; `low_balance_credits` is what is told to be low, 0: nothing is."""
    events = []
    for credit in _coalesced(credits_changed):
        shown = {
            "customerId": credit.customer_ref,
            "credits": credit.balance,
            "amount": credit.amount,
            "created": int(credit.at),
        }
        if credit.reason is not None:
            shown["reason"] = credit.reason
        names = [_CREDIT_EVENTS.get(credit.kind, "adjusted")]
        before = credit.balance - credit.amount
        if before > low_balance_credits >= credit.balance > 0:
            names.append("low_balance")
        if before > 0 >= credit.balance:
            names.append("exhausted")
        events += [
            Event(credit.environment, f"customer.credit.{name}", credit.at, shown, None, credit.idempotency_key)
            for name in names
        ]
    return events


def _coalesced(credits_changed: Sequence[Credit]) -> list[Credit]:
    """The same changes, those by usage summed up for each customer."""
    found: dict[object, Credit] = {}
    for index, credit in enumerate(credits_changed):
        name = (credit.environment, credit.customer_ref) if credit.kind == "USAGE" else index
        earlier = found.get(name)
        found[name] = credit if earlier is None else credit._replace(amount=earlier.amount + credit.amount)
    return list(found.values())


def _shown(purchase: Purchase) -> dict[str, Any]:
    """The purchase as webhooks show it."""
    return {
        "id": purchase.reference,
        "reference": purchase.reference,
        "status": purchase.status,
        "customer": purchase.customer_ref,
        "plan": purchase.plan.reference,
        "product": purchase.product_ref,
        "amount": purchase.plan.price,
        "currency": purchase.plan.currency.lower(),
        "billingCycle": purchase.plan.billing_cycle,
        "isRecurring": purchase.plan.is_recurring,
        "autoRenew": purchase.auto_renew,
        "endDate": purchase.end_date,
        "cancelledAt": purchase.cancelled_at,
        "renewedAt": purchase.renewed_at,
        "created": int(datetime.fromisoformat(purchase.created_at).timestamp()),
    }


def _reset(purchase: Purchase, at: float) -> dict[str, Any]:
    """A count that begins again at zero; nobody has published its form, so it has that of recorded usage."""
    return {
        "customer": purchase.customer_ref,
        "product": purchase.product_ref,
        "purchase": purchase.reference,
        "quantity": 0,
        "meterName": METER_NAME,
        "recordedAt": int(at),
    }
