"""`/sandbox/...`: what happened, and how to make it fail. No key, but only for this machine.

GET    /sandbox/totals                    {"usages", "units", "duplicates", "requests"}
GET    /sandbox/usages?after=&limit=      {"usages": [...], "next": n}
POST   /sandbox/reset                     as after a first start with the same options
GET    /sandbox/faults                    the faults that are on, and how often each has struck
PUT    /sandbox/faults                    a list of faults in place of all others
DELETE /sandbox/faults                    no faults
POST   /sandbox/customers                 {"reference", "email"?, "name"?, ..., "environment"?}, or a list of them
POST   /sandbox/products                  {"reference", "name"?, ..., "plan": {"freeUnits", ...}?, "environment"?}
POST   /sandbox/checkout-sessions/{id}    the customer has paid; {"credits"?} about credits; {"declined"?}
POST   /sandbox/purchases                 {"customerRef", "productRef", "planRef", "environment"?}: bought and paid
PUT    /sandbox/purchases/{purchase}      {"status"}: past_due, suspended or active again
PUT    /sandbox/payment-intents/{intent}  {"status"}: failed or cancelled
GET    /sandbox/transactions?environment= {"transactions": [...]}
POST   /sandbox/transactions              a payment: {"customerRef" or "purchaseRef", "amount", "status"?, ...}
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import Customer, Plan, Product
from meter.sandbox.bookkeeping.usages import Usage
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.faults.fault_list import BadFaultsError, Fault, Faults, read_faults
from meter.sandbox.mishaps import Mishaps
from meter.sandbox.rest.calls import ENVIRONMENTS, LIVE, SANDBOX, Answer, Call, Handler
from meter.sandbox.rest.errors import Issue, ProviderError, iso
from meter.sandbox.rest.paging import whole_number
from meter.sandbox.rest.references import usage_reference
from meter.sandbox.rest.shapes import Path, Reading
from meter.sandbox.sales.checkout import Checkout
from meter.sandbox.sales.customers import check_unique, read_customer
from meter.sandbox.sales.customers import shown as shown_customer
from meter.sandbox.sales.new_purchases import NewPurchases
from meter.sandbox.sales.plans import check_currency, read_plan, replacing
from meter.sandbox.sales.products import read_product
from meter.sandbox.sales.products import shown as shown_product
from meter.sandbox.sales.transactions import Transactions
from meter.sandbox.store import Store, StoredUsage

MAX_PAGE = 50_000
_NAMES = {number: name for name, number in ENVIRONMENTS.items()}


class Controls:
    """The control routes; `requests_total` counts what came to the provider's routes."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        faults: Faults,
        first_faults: Sequence[Fault],
        fill: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`fill` puts what is there from the start into empty stores, at Unix seconds."""
        self.requests_total = 0
        self._store = store
        self._catalogue = catalogue
        self._faults = faults
        self._first_faults = first_faults
        self._fill = fill
        self._checkout = Checkout(store, catalogue)
        self._transactions = Transactions(catalogue)
        self._mishaps = Mishaps(catalogue)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each control."""
        return [
            ("GET", "/sandbox/totals", self.totals),
            ("GET", "/sandbox/usages", self.usages),
            ("POST", "/sandbox/reset", self.reset),
            ("GET", "/sandbox/faults", self.show_faults),
            ("PUT", "/sandbox/faults", self.put_faults),
            ("DELETE", "/sandbox/faults", self.delete_faults),
            ("POST", "/sandbox/customers", self.put_customers),
            ("POST", "/sandbox/products", self.put_products),
            ("POST", "/sandbox/purchases", self.buy),
            ("PUT", "/sandbox/purchases/{purchase}", self._mishaps.purchase),
            ("PUT", "/sandbox/payment-intents/{intent}", self._mishaps.intent),
            ("POST", "/sandbox/checkout-sessions/{session}", self._checkout.complete),
            ("GET", "/sandbox/transactions", self._transactions.show),
            ("POST", "/sandbox/transactions", self._transactions.add),
        ]

    def totals(self, _: Call) -> Answer:
        """Sums over everything that was recorded, and what was asked."""
        return Answer.of(200, self.totals_shown())

    def totals_shown(self) -> dict[str, int]:
        """The totals as values."""
        return {**self._store.totals()._asdict(), "requests": self.requests_total}

    def usages(self, call: Call) -> Answer:
        """A page of rows in the order in which they were kept; an empty one is the end."""
        after = whole_number(call, "after", 0)
        rows = self._store.usages_after(after, min(whole_number(call, "limit", 1000), MAX_PAGE))
        page = [_shown(row) for row in rows]
        return Answer.of(200, {"usages": page, "next": rows[-1].row if rows else after})

    def reset(self, call: Call) -> Answer:
        """Forget usages, customers, products and counts; faults and demo data are those of the start again."""
        self._store.reset()
        self._catalogue.reload()
        self._fill(call.now)
        self._faults.replace(self._first_faults)
        self.requests_total = 0
        return Answer.of(200, {"success": True})

    def show_faults(self, _: Call) -> Answer:
        """The faults that are on."""
        return Answer.of(200, self._faults.shown())

    def put_faults(self, call: Call) -> Answer:
        """New faults in place of all others; a bad list changes nothing."""
        try:
            faults = read_faults(call.body)
        except BadFaultsError as error:
            raise ProviderError(400, str(error)) from error
        self._faults.replace(faults)
        return self.show_faults(call)

    def delete_faults(self, call: Call) -> Answer:
        """No faults any more."""
        self._faults.replace([])
        return self.show_faults(call)

    def put_customers(self, call: Call) -> Answer:
        """Customers under given references; one that exists is replaced. An email is one customer's only (409)."""
        bodies, many = _one_or_many(call)
        issues: list[Issue] = []
        read: dict[int, list[Customer]] = {SANDBOX: [], LIVE: []}
        for path, body in bodies:
            reading = Reading({"email": f"{_text(body, 'reference')}@example.com", **_fields(body)}, path, issues)
            environment, reference = _place(reading)
            read[environment].append(read_customer(reading, call.now, reference))
        for environment, customers in read.items():
            _check_new_names(self._catalogue[environment], customers)
        for environment, customers in read.items():
            self._catalogue.put(environment, customers)
        shown = [shown_customer(customer) for customers in read.values() for customer in customers]
        return Answer.of(201, shown if many else shown[0])

    def put_products(self, call: Call) -> Answer:
        """Products under given references, each with its default plan if `plan` is given; replaced if they exist."""
        bodies, many = _one_or_many(call)
        read: list[tuple[int, Product, list[Plan]]] = []
        for path, body in bodies:
            reading = Reading({"name": _text(body, "reference"), **_fields(body)}, path)
            environment, reference = _place(reading)
            product = read_product(reading, call.now, reference)
            read.append((environment, product, _default_plan(reading, product, call.now)))
        shown = []
        for environment, product, plans in read:
            before = self._catalogue[environment].plans_of(product.reference)
            self._catalogue.put(environment, [product, *(each for plan in plans for each in replacing(plan, before))])
            shown.append(shown_product(product, self._catalogue[environment]))
        return Answer.of(201, shown if many else shown[0])

    def buy(self, call: Call) -> Answer:
        """A purchase as if the customer had just paid for it; what was before expires."""
        body = Reading(call.json())
        environment = ENVIRONMENTS[body.choice("environment", tuple(ENVIRONMENTS)) or "sandbox"]
        names = ("customerRef", "productRef", "planRef")
        customer_ref, product_ref, plan_ref = (body.text(name, required=True) or "" for name in names)
        body.done()
        shelf = self._catalogue[environment]
        plan = shelf.plans.get(product_ref, {}).get(plan_ref)
        if customer_ref not in shelf.customers or plan is None:
            raise ProviderError(404, "Customer, product or plan not found")
        purchase = NewPurchases(self._catalogue).begin(environment, customer_ref, plan, call.now, paid=plan.price > 0)
        return Answer.of(201, {"reference": purchase.reference})


def _check_new_names(shelf: Shelf, customers: Sequence[Customer]) -> None:
    """What is unique of a customer is so among those given as well. Raises ProviderError (409)."""
    given = Shelf()
    for customer in customers:
        check_unique(shelf, customer)
        check_unique(given, customer)
        given.place(customer)


def _default_plan(product_body: Reading, product: Product, now: float) -> list[Plan]:
    """The plan in the body, under the same reference whenever the product is given again."""
    body = product_body.mapping("plan")
    product_body.done()
    if body is None:
        return []
    reading = Reading({"name": "Free", "default": True, **body}, (*product_body.path, "plan"))
    reference = reading.text("reference", min_length=1) or f"pln_{product.reference.removeprefix('prd_')}"
    plan = read_plan(reading, product.reference, now, first=True, reference=reference)
    check_currency(plan)
    return [plan]


def _one_or_many(call: Call) -> tuple[list[tuple[Path, Any]], bool]:
    body = call.json()
    if isinstance(body, list):
        return [((index,), entry) for index, entry in enumerate(body)], True
    return [((), body)], False


def _fields(body: object) -> Any:
    return body if isinstance(body, dict) else {}


def _text(body: object, name: str) -> str:
    value = _fields(body).get(name)
    return value if isinstance(value, str) else ""


def _place(reading: Reading) -> tuple[int, str]:
    """Environment and reference that the body names."""
    environment = reading.choice("environment", tuple(ENVIRONMENTS)) or "sandbox"
    return ENVIRONMENTS[environment], reading.text("reference", required=True, min_length=1) or ""


def _shown(row: StoredUsage) -> dict[str, Any]:
    sent = dict(zip(_FIELD_NAMES, msgspec.structs.astuple(row.usage), strict=True))
    shown = {name: value for name, value in sent.items() if value is not None}
    if "metadata" in shown:
        shown["metadata"] = msgspec.Raw(shown["metadata"])
    shown["reference"] = usage_reference(row.row)
    shown["environment"] = _NAMES[row.environment]
    shown["recordedAt"] = iso(row.recorded_at)
    return shown


_FIELD_NAMES = [field.encode_name for field in msgspec.structs.fields(Usage)]
