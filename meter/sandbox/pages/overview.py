"""The page at `/`: what the sandbox has recorded, for whoever develops against it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meter.sandbox.bookkeeping.payments import CURRENCY
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.pages import listings
from meter.sandbox.pages.listings import ROWS, latest, section
from meter.sandbox.pages.markup import Html, element, joined, page
from meter.sandbox.pages.session_pages import money
from meter.sandbox.rest.calls import LIVE, SANDBOX, Answer, Call, Handler
from meter.sandbox.rest.errors import iso
from meter.sandbox.sales.purchases import Purchases
from meter.sandbox.store import Store

_WORLDS = {
    SANDBOX: ("Sandbox", "every key that does not begin with sk_live_"),
    LIVE: ("Live", "keys that begin with sk_live_"),
}
_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)
_FIRST_STEPS = """\
curl -d '{{"reference": "cus_A1B2C3D4"}}' http://{host}/sandbox/customers
curl -d '{{"reference": "prd_P9Q0R1S2", "plan": {{"freeUnits": 100}}}}' http://{host}/sandbox/products
curl -H 'Authorization: Bearer sk_sandbox_any' \\
  -d '{{"customerRef": "cus_A1B2C3D4", "productRef": "prd_P9Q0R1S2", "units": 3}}' \\
  http://{host}/v1/sdk/usages
"""


class Overview:
    """The page; `totals` are sums over both environments, `faults` those that are on."""

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
                "p",
                listings.moment(iso(call.now)),
                " UTC, ",
                element("a", "OpenAPI", href="/openapi.json"),
                class_="quiet",
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
        parts = [
            self._usages(call, environment),
            section("Customers", len(shelf.customers), self._customers(call, environment, shelf)),
            section("Purchases", len(shelf.purchases), self._bought(call, environment, shelf)),
            section("Products", len(shelf.products), listings.products(shelf)),
            _transactions(shelf),
            self._webhooks(environment),
        ]
        title = element("h2", name, element("small", keys))
        shown = joined(parts) or element("p", "Nothing yet.", class_="quiet")
        return element("section", title, shown, id=name.lower())

    def _usages(self, call: Call, environment: int) -> Html:
        count, units = self._store.kept(environment)
        if not count:
            return _first_steps(call) if environment == SANDBOX else Html()
        found = self._store.latest_usages(environment, ROWS)
        return section(f"Latest usages, {units:,} units in all", count, listings.usages(found))

    def _customers(self, call: Call, environment: int, shelf: Shelf) -> Html:
        ledger = self._store.ledger
        balances = {each.reference: ledger.balance(environment, each.reference) for each in latest(shelf.customers)}
        return listings.customers(shelf, iso(call.now), balances)

    def _bought(self, call: Call, environment: int, shelf: Shelf) -> Html:
        seen = Call(environment, call.path, b"", call.now)
        return listings.purchases(self._purchases.shown(seen, purchase) for purchase in latest(shelf.purchases))

    def _webhooks(self, environment: int) -> Html:
        outbox = self._store.outbox
        found = [each for each in outbox.endpoints.values() if each.environment == environment]
        count, sent = outbox.latest(environment, ROWS)
        shown = section("Webhook endpoints", len(found), listings.endpoints(found[-ROWS:]))
        return joined([shown, section("Webhooks", count, listings.deliveries(sent))])


def _transactions(shelf: Shelf) -> Html:
    rows = shelf.books.rows()
    revenue = money(shelf.books.between(None, None).revenue, CURRENCY)
    return section(f"Transactions, {revenue} in all", len(rows), listings.transactions(rows))


def _figures(totals: Mapping[str, int]) -> Html:
    names = {"usages": "usages kept", "units": "units", "duplicates": "repeats answered", "requests": "requests"}
    figures = [
        element("div", element("b", f"{totals[name]:,}"), element("span", words), class_="figure")
        for name, words in names.items()
    ]
    return element("div", *figures, class_="figures")


def _faults(faults: Sequence[Mapping[str, Any]]) -> Html:
    if not faults:
        return element("p", "No faults are on: every request is answered as it deserves.", class_="quiet")
    return element("div", section("Faults that are on", len(faults), listings.faults(faults)), class_="faults")


def _first_steps(call: Call) -> Html:
    """What to type to see something here."""
    host = call.headers.get("host", "")
    steps = _FIRST_STEPS.format(host=host if _HOST.fullmatch(host) else "127.0.0.1:8484")
    words = "Nothing was recorded yet. A customer, a product with 100 free units, and the first usage:"
    other = element("p", "Or start the sandbox with ", element("code", "--demo-data"), ".", class_="quiet")
    return element("div", element("p", words), element("pre", steps.rstrip()), other, class_="notice")
