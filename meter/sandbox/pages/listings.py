"""The tables of the page at `/`: what there is, the latest first, each kind in columns of its own."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from meter.sandbox.bookkeeping.entries import Plan, Product, Transaction
from meter.sandbox.catalogue import Shelf
from meter.sandbox.pages.markup import Html, element, joined, table
from meter.sandbox.pages.session_pages import money, used_up
from meter.sandbox.rest.errors import iso
from meter.sandbox.rest.references import usage_reference
from meter.sandbox.store import StoredUsage
from meter.sandbox.webhooks.outbox import Delivery, Endpoint

ROWS = 25
"""How many of the latest of each kind are shown."""

_GOOD = {"active", "success", "succeeded", "delivered", "enabled"}
_BAD = {
    "fail",
    "failed",
    "paywall",
    "expired",
    "cancelled",
    "refunded",
    "past_due",
    "suspended",
    "given_up",
    "disabled",
}


def latest(entries: dict[str, Any]) -> Iterable[Any]:
    """The last of a kind that were made, the last one first."""
    return islice(reversed(entries.values()), ROWS)


def section(name: str, count: int, rows: Html) -> Html:
    """A heading with how many there are, and the latest of them; nothing when there are none."""
    if not count:
        return Html()
    shown = f"the latest {ROWS} of {count:,}" if count > ROWS else f"{count:,}"
    return joined([element("h3", name, element("small", shown)), rows])


def usages(rows: Iterable[StoredUsage]) -> Html:
    """Usage events as they were sent."""
    shown = [
        (
            moment(iso(row.recorded_at)),
            code(row.usage.customer_ref),
            code(row.usage.product_ref),
            row.usage.action_type,
            _state(row.usage.outcome),
            row.usage.units,
            code(row.usage.idempotency_key),
            code(usage_reference(row.row)),
        )
        for row in rows
    ]
    columns = ("Recorded", "Customer", "Product", "Action", "Outcome", "Units#", "Idempotency key", "Reference")
    return table(columns, shown)


def customers(shelf: Shelf, now: str, balances: Mapping[str, int]) -> Html:
    """Customers with the plans that give them access, and their credits."""
    rows = [
        (
            code(customer.reference),
            customer.name,
            customer.email,
            ", ".join(_name(each.plan) for each in shelf.purchases_of(customer.reference) if each.holds_at(now)),
            balances[customer.reference],
        )
        for customer in latest(shelf.customers)
    ]
    return table(("Customer", "Name", "Email", "Plans", "Credits#"), rows)


def purchases(shown: Iterable[Mapping[str, Any]]) -> Html:
    """Purchases as the provider answers them."""
    columns = ("Purchase", "Customer", "Product", "Plan", "Status", "Since", "Until", "Used#", "of#")
    return table(columns, [_purchase(each) for each in shown])


def products(shelf: Shelf) -> Html:
    """Products with their plans."""
    rows = [
        (code(each.reference), each.name, _plans(shelf, each), _state(each.status)) for each in latest(shelf.products)
    ]
    return table(("Product", "Name", "Plans", "Status"), rows)


def transactions(rows: Sequence[Transaction]) -> Html:
    """Payments and refunds."""
    shown = [
        (
            moment(row.created_at),
            code(row.reference),
            row.type,
            _state(row.status),
            code(row.customer_ref),
            code(row.product_ref),
            code(row.source_transaction_ref or row.purchase_ref),
            element("span", money(-row.amount if row.is_refund else row.amount, row.currency)),
        )
        for row in reversed(rows[-ROWS:])
    ]
    return table(("When", "Transaction", "Type", "Status", "Customer", "Product", "For", "Amount#"), shown)


def endpoints(found: Iterable[Endpoint]) -> Html:
    """Where events go."""
    rows = [
        (
            code(each.reference),
            code(each.url),
            ", ".join(each.events) or "all",
            _state("enabled" if each.disabled_at is None else "disabled"),
        )
        for each in found
    ]
    return table(("Endpoint", "URL", "Events", "State"), rows)


def deliveries(found: Iterable[Delivery]) -> Html:
    """Events on their way, and what came of them."""
    rows = [
        (moment(iso(each.at)), each.type, code(each.endpoint), _state(each.state), each.attempts, each.answer or "")
        for each in found
    ]
    return table(("When", "Event", "Endpoint", "State", "Attempts#", "Answer"), rows)


def faults(found: Sequence[Mapping[str, Any]]) -> Html:
    """Faults and how often each has struck."""
    rows = [(code(fault["route"]), fault["kind"], _how(fault), fault["struck"]) for fault in found]
    return table(("Route", "Fault", "How", "Struck#"), rows)


def code(text: str | None) -> Html:
    """A reference or an address, whole when it is pointed at."""
    return element("code", text, title=text) if text else Html()


def moment(text: str) -> str:
    """`2026-03-15 12:00:00`, in UTC, of the form that the provider writes."""
    return text[:19].replace("T", " ")


def _purchase(shown: Mapping[str, Any]) -> tuple[object, ...]:
    plan, used = shown["planSnapshot"], shown["usage"]["used"]
    allowance = plan.get("freeUnits") or plan.get("limit")
    return (
        code(shown["reference"]),
        code(shown["customerRef"]),
        code(shown["productRef"]),
        plan.get("name", plan["reference"]),
        _state(shown["status"]),
        moment(shown["startDate"]),
        moment(shown.get("endDate", "")),
        joined([used_up(used, allowance), f"{used:,}"]),
        allowance or "no bound",
    )


def _plans(shelf: Shelf, product: Product) -> Html:
    plans = ", ".join(f"{_name(plan)}{_terms(plan)}" for plan in shelf.plans_of(product.reference))
    return element("div", plans or "none", class_="wrap")


def _name(plan: Plan) -> str:
    return plan.name or plan.reference


def _terms(plan: Plan) -> str:
    terms = [
        money(plan.price, plan.currency) if plan.price else "",
        f"{plan.allowance_units:,} units" if plan.allowance_units else "",
        f"{plan.credits_per_unit:,} credits a unit" if plan.credits_per_unit else "",
        "default" if plan.default else "",
    ]
    shown = ", ".join(term for term in terms if term)
    return f" ({shown})" if shown else ""


def _how(fault: Mapping[str, Any]) -> str:
    others = {name: value for name, value in fault.items() if name not in ("route", "kind", "struck")}
    often = "" if {"rate", "count"} & others.keys() else "always"
    return ", ".join([*([often] if often else []), *(f"{name} {value}" for name, value in others.items())])


def _state(word: str) -> Html:
    mood = "good" if word in _GOOD else "bad" if word in _BAD else ""
    return element("span", word.replace("_", " "), class_=f"state {mood}".strip())
