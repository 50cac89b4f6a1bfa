"""What else is announced than purchases and credits: customers, checkouts, payments, and what is sold."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from meter.sandbox.bookkeeping.entries import AnyEntry, Customer, Plan, Product, Purchase, Session, Transaction
from meter.sandbox.webhooks.events import Event, purchase_events

T = TypeVar("T")
_SOLD = ("active",)
"""The statuses of a plan or product that can be bought; leaving them is being archived."""


def changes(environment: int, old: AnyEntry | None, new: AnyEntry, at: float) -> Iterable[Event]:
    """The events of an entry that takes the place of `old`; none for what nobody has to know."""
    match new:
        case Purchase():
            return purchase_events(environment, _as(Purchase, old), new, at)
        case Customer():
            return _known(environment, _as(Customer, old), new, at)
        case Session() if new.kind == "checkout":
            return _checkout(environment, _as(Session, old), new, at)
        case Transaction() if old is None:
            happened = "refunded" if new.is_refund else new.status
            return [Event(environment, f"payment.{happened}", at, _money(new))]
        case Plan() | Product() if isinstance(old, Plan | Product):
            return _sold(environment, old, new, at)
        case _:
            return ()


def removal(environment: int, old: Product | Plan, at: float) -> Event:
    """A plan or product that is no more."""
    return Event(environment, f"{_kind(old)}.archived", at, _offer(old))


def _as(kind: type[T], entry: AnyEntry | None) -> T | None:
    return entry if isinstance(entry, kind) else None


def _known(environment: int, old: Customer | None, new: Customer, at: float) -> Iterator[Event]:
    shown = _customer(new)
    if old is None:
        yield Event(environment, "customer.created", at, shown)
    elif previous := _previous(_customer(old), shown):
        yield Event(environment, "customer.updated", at, shown, previous)


def _checkout(environment: int, old: Session | None, new: Session, at: float) -> Iterator[Event]:
    if old is None:
        yield Event(environment, "checkout_session.created", at, _session(new))
    elif old.used_at is None and new.used_at is not None:
        shown = _session(new)
        yield Event(environment, "checkout_session.completed", at, shown, _previous(_session(old), shown))


def _sold(environment: int, old: Plan | Product, new: Plan | Product, at: float) -> Iterator[Event]:
    before, after = _offer(old), _offer(new)
    if before != after:
        archived = before["status"] in _SOLD and after["status"] not in _SOLD
        name = f"{_kind(new)}.{'archived' if archived else 'updated'}"
        yield Event(environment, name, at, after, _previous(before, after))


def _previous(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in old.items() if new.get(name) != value}


def _kind(entry: Plan | Product) -> str:
    return type(entry).__name__.lower()


def _customer(entry: Customer) -> dict[str, Any]:
    return {
        "id": entry.reference,
        "reference": entry.reference,
        "name": entry.name,
        "email": entry.email,
        "telephone": entry.telephone,
        "externalRef": entry.external_ref,
        "status": "active",
        "product": None,
        "created": _seconds(entry.created_at),
    }


def _session(entry: Session) -> dict[str, Any]:
    return {
        "id": f"cs_{entry.reference[:12]}",
        "session_id": entry.reference,
        "status": "active" if entry.used_at is None else "used",
        "customer": entry.customer_ref,
        "product": entry.product_ref,
        "plan": entry.plan_ref,
        "expires_at": _seconds(entry.expires_at),
        "created": _seconds(entry.created_at),
    }


def _money(entry: Transaction) -> dict[str, Any]:
    return {
        "id": entry.reference,
        "transaction_reference": entry.reference,
        "amount": entry.amount,
        "currency": entry.currency.lower(),
        "customer": entry.customer_ref,
        "product": entry.product_ref,
        "plan": entry.plan_ref,
        "purchase": entry.purchase_ref,
        "refunded_transaction": entry.source_transaction_ref,
        "reason": entry.reason,
        "created": _seconds(entry.created_at),
    }


def _offer(entry: Plan | Product) -> dict[str, Any]:
    """A plan or product as webhooks show it."""
    shown = {"reference": entry.reference, "name": entry.name, "status": entry.status}
    if isinstance(entry, Product):
        return shown | {"description": entry.description}
    return shown | {
        "product": entry.product_ref,
        "type": entry.type,
        "price": entry.price,
        "currency": entry.currency.lower(),
        "billingCycle": entry.billing_cycle,
        "freeUnits": entry.free_units,
        "limit": entry.limit,
        "creditsPerUnit": entry.credits_per_unit,
        "default": entry.default,
    }


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())
