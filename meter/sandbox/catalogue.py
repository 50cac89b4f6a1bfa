"""Customers, products, plans and purchases of both environments: held in memory, written through to the store."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import msgspec

from meter.sandbox.calls import LIVE, SANDBOX
from meter.sandbox.store import Store

FREE_PLAN_TYPES = ("recurring", "one-time", "hybrid", "usage-based")


class Customer(msgspec.Struct, rename="camel", omit_defaults=True):
    """Somebody who is billed."""

    reference: str
    email: str
    name: str
    created_at: str
    external_ref: str | None = None
    telephone: str | None = None
    metadata: dict[str, Any] | None = None


class Product(msgspec.Struct, rename="camel", omit_defaults=True):
    """Something that is sold; its plans are kept apart."""

    reference: str
    name: str
    created_at: str
    updated_at: str
    description: str | None = None
    image_url: str | None = None
    product_type: str | None = None
    is_mcp_pay: bool | None = None
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class Plan(msgspec.Struct, rename="camel", omit_defaults=True):
    """What a customer pays for a product, and what that includes; money in minor units."""

    reference: str
    product_ref: str
    created_at: str
    updated_at: str
    name: str | None = None
    description: str | None = None
    type: str = "recurring"
    status: str = "active"
    price: float = 0
    currency: str = "USD"
    billing_cycle: str | None = None
    billing_model: str | None = None
    free_units: int | None = None
    limit: int | None = None
    credits_per_unit: int | None = None
    default: bool = False

    @property
    def requires_payment(self) -> bool:
        """False for a plan that a customer may be put on without asking."""
        return self.price > 0 or self.credits_per_unit is not None

    @property
    def allowance_units(self) -> int | None:
        """Units a calendar month; None when there is no bound."""
        return self.free_units or self.limit or None


class Purchase(msgspec.Struct, rename="camel", omit_defaults=True):
    """A customer's hold on a product; `plan` is the plan as it stood then, later edits do not touch it."""

    reference: str
    customer_ref: str
    product_ref: str
    plan: Plan
    created_at: str


class Entry(Protocol):
    """Anything with a reference."""

    @property
    def reference(self) -> str:
        """Unique within its kind and environment."""


T = TypeVar("T", Customer, Product, Plan, Purchase)


class Shelf:
    """What one environment holds, found by every name it has."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.customers_by_email: dict[str, Customer] = {}
        self.customers_by_external_ref: dict[str, Customer] = {}
        self.products: dict[str, Product] = {}
        self.plans: dict[str, dict[str, Plan]] = {}
        self.purchases: dict[tuple[str, str], Purchase] = {}

    def place(self, entry: Customer | Product | Plan | Purchase) -> None:
        """Put an entry where it is found, in place of an earlier one with its reference."""
        match entry:
            case Customer():
                self._place_customer(entry)
            case Product():
                self.products[entry.reference] = entry
            case Plan():
                self.plans.setdefault(entry.product_ref, {})[entry.reference] = entry
            case Purchase():
                self.purchases[entry.customer_ref, entry.product_ref] = entry

    def default_plan(self, product_ref: str) -> Plan | None:
        """The plan that a customer without a purchase falls on."""
        plans = self.plans.get(product_ref, {}).values()
        return next((plan for plan in plans if plan.default and plan.status == "active"), None)

    def _place_customer(self, customer: Customer) -> None:
        earlier = self.customers.get(customer.reference)
        if earlier is not None:
            self.customers_by_email.pop(earlier.email.lower(), None)
            self.customers_by_external_ref.pop(earlier.external_ref or "", None)
        self.customers[customer.reference] = customer
        self.customers_by_email[customer.email.lower()] = customer
        if customer.external_ref:
            self.customers_by_external_ref[customer.external_ref] = customer


class Catalogue:
    """The shelves of both environments; what `put` has taken survives the process."""

    KINDS: tuple[type[Customer | Product | Plan | Purchase], ...] = (Customer, Product, Plan, Purchase)

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shelves: dict[int, Shelf] = {}
        self.reload()

    def __getitem__(self, environment: int) -> Shelf:
        return self._shelves[environment]

    def put(self, environment: int, entries: Iterable[T]) -> None:
        """Keep entries of one kind, all or none."""
        entries = list(entries)
        if not entries:
            return
        kind = type(entries[0]).__name__
        self._store.put_objects(environment, kind, [(entry.reference, msgspec.json.encode(entry)) for entry in entries])
        for entry in entries:
            self._shelves[environment].place(entry)

    def reload(self) -> None:
        """Read everything from the store again."""
        self._shelves = {SANDBOX: Shelf(), LIVE: Shelf()}
        for kind in self.KINDS:
            read: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
            for environment, body in self._store.objects(kind.__name__):
                self._shelves[environment].place(read(body))
