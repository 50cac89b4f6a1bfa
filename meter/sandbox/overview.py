"""The page at `/`: what the sandbox has recorded, for whoever develops against it."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from meter.sandbox.calls import LIVE, SANDBOX, Answer, Call, Handler
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.entries import Plan, Product
from meter.sandbox.errors import iso
from meter.sandbox.markup import Html, element, joined, page, table
from meter.sandbox.pages import money, used_up
from meter.sandbox.purchases import Purchases
from meter.sandbox.references import usage_reference
from meter.sandbox.store import Store, StoredUsage

ROWS = 25
"""How many of the latest of each kind are shown."""

_WORLDS = {
    SANDBOX: ("Sandbox", "every key that does not begin with sk_live_"),
    LIVE: ("Live", "keys that begin with sk_live_"),
}
_GOOD = {"active", "success"}
_BAD = {"fail", "paywall", "expired", "cancelled", "refunded", "past_due", "suspended"}
_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)
_FIRST_STEPS = """\
curl -d '{{"reference": "cus_A1B2C3D4"}}' http://{host}/sandbox/customers
curl -d '{{"reference": "prd_P9Q0R1S2", "plan": {{"freeUnits": 100}}}}' http://{host}/sandbox/products
curl -H 'Authorization: Bearer sk_sandbox_any' \\
  -d '{{"customerRef": "cus_A1B2C3D4", "productRef": "prd_P9Q0R1S2", "units": 3}}' \\
  http://{host}/v1/sdk/usages
"""


class Overview:
    """The page; `facts` tells the totals of both environments and the faults that are on."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        totals: Callable[[], Mapping[str, int]],
        faults: Callable[[], list[Mapping[str, Any]]],
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._totals = totals
        self._faults = faults
        self._purchases = Purchases(store, catalogue)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler."""
        return [("GET", "/", self.show)]

    def show(self, call: Call) -> Answer:
        """Totals, faults, and both environments apart."""
        return page(
            "Provider sandbox",
            element("h1", "Provider sandbox"),
            element(
                "p", _moment(iso(call.now)), " UTC, ", element("a", "OpenAPI", href="/openapi.json"), class_="quiet"
            ),
            _figures(self._totals()),
            _faults(self._faults()),
            *(self._world(call, environment) for environment in _WORLDS),
            fresh=True,
        )

    def _world(self, call: Call, environment: int) -> Html:
        """Everything of one environment; a few words when nothing has happened in it."""
        name, keys = _WORLDS[environment]
        shelf = self._catalogue[environment]
        usages, units = self._store.kept(environment)
        title = element("h2", name, element("small", keys))
        parts = [
            _section("Customers", len(shelf.customers), self._customers(shelf, environment, call)),
            _section("Purchases", len(shelf.purchases), self._bought(shelf, environment, call)),
            _section("Products", len(shelf.products), _products(shelf)),
        ]
        if usages:
            rows = [_usage(row) for row in self._store.latest_usages(environment, ROWS)]
            parts.insert(0, _section(f"Latest usages, {units:,} units in all", usages, table(_USAGE_COLUMNS, rows)))
        elif environment == SANDBOX:
            parts.insert(0, _first_steps(call))
        shown = joined(parts) or element("p", "Nothing yet.", class_="quiet")
        return element("section", title, shown, id=name.lower())

    def _customers(self, shelf: Shelf, environment: int, call: Call) -> Html:
        moment = iso(call.now)
        rows = [
            (
                _code(customer.reference),
                customer.name,
                customer.email,
                ", ".join(
                    _plan_name(each.plan) for each in shelf.purchases_of(customer.reference) if each.holds_at(moment)
                ),
                self._store.ledger.balance(environment, customer.reference),
            )
            for customer in _latest(shelf.customers)
        ]
        return table(("Customer", "Name", "Email", "Plans", "Credits#"), rows)

    def _bought(self, shelf: Shelf, environment: int, call: Call) -> Html:
        seen = Call(environment, call.path, b"", call.now)
        rows = [_purchase(self._purchases.shown(seen, purchase)) for purchase in _latest(shelf.purchases)]
        return table(("Purchase", "Customer", "Product", "Plan", "Status", "Since", "Until", "Used#", "of#"), rows)


_USAGE_COLUMNS = ("Recorded", "Customer", "Product", "Action", "Outcome", "Units#", "Idempotency key", "Reference")


def _latest(entries: dict[str, Any]) -> Iterable[Any]:
    return islice(reversed(entries.values()), ROWS)


def _section(name: str, count: int, rows: Html) -> Html:
    """A heading with how many there are, and the latest of them; nothing when there are none."""
    if not count:
        return Html()
    shown = f"the latest {ROWS} of {count:,}" if count > ROWS else f"{count:,}"
    return joined([element("h3", name, element("small", shown)), rows])


def _figures(totals: Mapping[str, int]) -> Html:
    names = {"usages": "usages kept", "units": "units", "duplicates": "repeats answered", "requests": "requests"}
    figures = [
        element("div", element("b", f"{totals[name]:,}"), element("span", words), class_="figure")
        for name, words in names.items()
    ]
    return element("div", *figures, class_="figures")


def _faults(faults: list[Mapping[str, Any]]) -> Html:
    if not faults:
        return element("p", "No faults are on: every request is answered as it deserves.", class_="quiet")
    rows = [(_code(fault["route"]), fault["kind"], _how(fault), fault["struck"]) for fault in faults]
    shown = _section("Faults that are on", len(faults), table(("Route", "Fault", "How", "Struck#"), rows))
    return element("div", shown, class_="faults")


def _how(fault: Mapping[str, Any]) -> str:
    others = {name: value for name, value in fault.items() if name not in ("route", "kind", "struck")}
    often = "" if {"rate", "count"} & others.keys() else "always"
    return ", ".join([*([often] if often else []), *(f"{name} {value}" for name, value in others.items())])


def _products(shelf: Shelf) -> Html:
    rows = [(_code(each.reference), each.name, _plans(shelf, each), each.status) for each in _latest(shelf.products)]
    return table(("Product", "Name", "Plans", "Status"), rows)


def _plans(shelf: Shelf, product: Product) -> str:
    return ", ".join(f"{_plan_name(plan)}{_terms(plan)}" for plan in shelf.plans_of(product.reference)) or "none"


def _terms(plan: Plan) -> str:
    terms = [
        money(plan.price, plan.currency) if plan.price else "",
        f"{plan.allowance_units:,} units" if plan.allowance_units else "",
        f"{plan.credits_per_unit:,} credits a unit" if plan.credits_per_unit else "",
        "default" if plan.default else "",
    ]
    shown = ", ".join(term for term in terms if term)
    return f" ({shown})" if shown else ""


def _plan_name(plan: Plan) -> str:
    return plan.name or plan.reference


def _usage(row: StoredUsage) -> tuple[object, ...]:
    usage = row.usage
    return (
        _moment(iso(row.recorded_at)),
        _code(usage.customer_ref),
        _code(usage.product_ref or ""),
        usage.action_type,
        _state(usage.outcome),
        usage.units,
        _code(usage.idempotency_key or ""),
        _code(usage_reference(row.row)),
    )


def _purchase(shown: Mapping[str, Any]) -> tuple[object, ...]:
    plan, used = shown["planSnapshot"], shown["usage"]["used"]
    allowance = plan.get("freeUnits") or plan.get("limit")
    return (
        _code(shown["reference"]),
        _code(shown["customerRef"]),
        _code(shown["productRef"]),
        plan.get("name", plan["reference"]),
        _state(shown["status"]),
        _moment(shown["startDate"]),
        _moment(shown.get("endDate", "")),
        joined([used_up(used, allowance), f"{used:,}"]),
        allowance or "no bound",
    )


def _state(word: str) -> Html:
    mood = "good" if word in _GOOD else "bad" if word in _BAD else ""
    return element("span", word, class_=f"state {mood}".strip())


def _code(text: str) -> Html:
    return element("code", text, title=text) if text else Html()


def _moment(text: str) -> str:
    """`2026-03-15 12:00:00` of the form that the provider writes; UTC."""
    return text[:19].replace("T", " ")


def _first_steps(call: Call) -> Html:
    """What to type to see something here."""
    host = call.headers.get("host", "")
    steps = _FIRST_STEPS.format(host=host if _HOST.fullmatch(host) else "127.0.0.1:8484")
    words = "Nothing was recorded yet. A customer, a product with 100 free units, and the first usage:"
    return element("div", element("p", words), element("pre", steps.rstrip()), class_="notice")
