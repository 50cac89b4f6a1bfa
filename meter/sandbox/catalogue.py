"""What both environments know by reference: held in memory, written through to the store."""

import time
from collections.abc import Callable, Iterable, Sequence
from heapq import heappush
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.books import Books
from meter.sandbox.bookkeeping.counting import Counts
from meter.sandbox.bookkeeping.entries import (
    BEGUN,
    AnyEntry,
    Customer,
    Intent,
    Plan,
    Product,
    Purchase,
    Reservation,
    Session,
    Transaction,
)
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.payments import next_payment
from meter.sandbox.rest.calls import LIVE, SANDBOX
from meter.sandbox.store import Store
from meter.sandbox.webhooks.entry_events import changes, removal
from meter.sandbox.webhooks.events import Event


class Shelf:
    """What one environment holds, found by every name it has."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.customers_by_email: dict[str, Customer] = {}
        self.customers_by_external_ref: dict[str, Customer] = {}
        self.products: dict[str, Product] = {}
        self.plans: dict[str, dict[str, Plan]] = {}
        self.sessions: dict[str, Session] = {}
        self.activations: dict[tuple[str, str], Session] = {}
        """The latest link of each customer and product under which a plan can be activated."""
        self.books = Books()
        self.reservations: dict[str, Reservation] = {}
        self.intents: dict[str, Intent] = {}
        self.intents_by_key: dict[str, Intent] = {}
        self.purchases: dict[str, Purchase] = {}
        self.current: dict[tuple[str, str], Purchase] = {}
        """The latest purchase of each customer and product, ended or not."""
        self.renewals: list[tuple[str, str]] = []
        """A heap of when purchases are to be paid next, and their references; some are out of date."""
        self._purchases_by_customer: dict[str, dict[str, Purchase]] = {}

    def place(self, entry: AnyEntry) -> None:
        """Put an entry where it is found, in place of an earlier one with its reference."""
        match entry:
            case Customer():
                self._place_customer(entry)
            case Product():
                self.products[entry.reference] = entry
            case Plan():
                self.plans.setdefault(entry.product_ref, {})[entry.reference] = entry
            case Purchase():
                self._place_purchase(entry)
            case Session():
                self._place_session(entry)
            case Transaction():
                self.books.place(entry)
            case Intent():
                self.intents[entry.reference] = entry
                self.intents_by_key[entry.idempotency_key] = entry
            case Reservation():
                self.reservations[entry.reference] = entry

    def before(self, entry: AnyEntry) -> AnyEntry | None:
        """What the entry takes the place of, if it is something that is announced."""
        match entry:
            case Customer():
                return self.customers.get(entry.reference)
            case Product():
                return self.products.get(entry.reference)
            case Plan():
                return self.plans.get(entry.product_ref, {}).get(entry.reference)
            case Purchase():
                return self.purchases.get(entry.reference)
            case Session():
                return self.sessions.get(entry.reference)
            case Transaction():
                return self.books.find(entry.reference)
            case _:
                return None

    def discard(self, entry: Product | Plan | Session) -> None:
        """Take an entry away; what points to it stays."""
        match entry:
            case Product():
                del self.products[entry.reference]
            case Plan():
                del self.plans[entry.product_ref][entry.reference]
            case Session():
                del self.sessions[entry.reference]
                key = (entry.customer_ref, entry.product_ref or "")
                if self.activations.get(key) is entry:
                    del self.activations[key]

    def plans_of(self, product_ref: str) -> list[Plan]:
        """The plans of a product, the oldest first."""
        return list(self.plans.get(product_ref, {}).values())

    def purchases_of(self, customer_ref: str) -> list[Purchase]:
        """The purchases of a customer, the oldest first."""
        return list(self._purchases_by_customer.get(customer_ref, {}).values())

    def offered(self, product_ref: str) -> list[Plan]:
        """The plans that a customer may choose."""
        return [plan for plan in self.plans_of(product_ref) if plan.status == "active" and not plan.hidden]

    def default_plan(self, product_ref: str) -> Plan | None:
        """The plan that a customer without a purchase falls on."""
        plans = self.plans_of(product_ref)
        return next((plan for plan in plans if plan.default and plan.status == "active"), None)

    def _place_session(self, session: Session) -> None:
        self.sessions[session.reference] = session
        if session.kind == "customer" and session.purpose == "activation":
            self.activations[session.customer_ref, session.product_ref or ""] = session

    def reserved(self, what: str, name: str, moment: str) -> Reservation | None:
        """The reservation that what is made at `moment` takes, to be kept together with it; None when there is none."""
        found = self.reservations.get(Reservation.of(what, name, "").reference)
        if found is None or found.taken_at is not None:
            return None
        return msgspec.structs.replace(found, taken_at=moment)

    def _place_purchase(self, purchase: Purchase) -> None:
        self.purchases[purchase.reference] = purchase
        self._purchases_by_customer.setdefault(purchase.customer_ref, {})[purchase.reference] = purchase
        key = (purchase.customer_ref, purchase.product_ref)
        latest = self.current.get(key)
        if latest is None or latest.reference == purchase.reference or purchase.status in BEGUN:
            self.current[key] = purchase
        due = next_payment(purchase)
        if due is not None:
            heappush(self.renewals, (due, purchase.reference))

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
    """The shelves of both environments; what `put` has taken survives the process. `now` tells Unix seconds."""

    KINDS: tuple[type[AnyEntry], ...] = (
        Customer,
        Product,
        Plan,
        Purchase,
        Session,
        Intent,
        Transaction,
        Reservation,
    )

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._shelves: dict[int, Shelf] = {}
        self.reload()

    def __getitem__(self, environment: int) -> Shelf:
        return self._shelves[environment]

    @property
    def counts(self) -> Counts:
        """What has counted toward allowances so far."""
        return self._store.counts

    def put(
        self,
        environment: int,
        entries: Iterable[AnyEntry],
        credits_changed: Sequence[Credit] = (),
    ) -> None:
        """Keep entries, and changes of credits that belong to them, all or none; what has changed is announced."""
        entries = list(entries)
        rows = [(type(entry).__name__, entry.reference, msgspec.json.encode(entry)) for entry in entries]
        self._store.put_objects(environment, rows, credits_changed, self._announced(environment, entries))
        for entry in entries:
            self._shelves[environment].place(entry)

    def _announced(self, environment: int, entries: Iterable[AnyEntry]) -> list[Event]:
        """What entries that take the place of others are announced as, if anybody listens."""
        if not self._store.outbox.listened_to:
            return []
        now, shelf = self._now(), self._shelves[environment]
        return [event for entry in entries for event in changes(environment, shelf.before(entry), entry, now)]

    def remove(self, environment: int, entries: Iterable[Product | Plan | Session]) -> None:
        """Forget entries, all or none; what was for sale is announced as archived."""
        entries = list(entries)
        names = [(type(entry).__name__, entry.reference) for entry in entries]
        listened_to, now = self._store.outbox.listened_to, self._now()
        gone = [removal(environment, each, now) for each in entries if listened_to and not isinstance(each, Session)]
        self._store.delete_objects(environment, names, gone)
        for entry in entries:
            self._shelves[environment].discard(entry)

    def reload(self) -> None:
        """Read everything from the store again."""
        self._shelves = {SANDBOX: Shelf(), LIVE: Shelf()}
        for kind in self.KINDS:
            read: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
            for environment, body in self._store.objects(kind.__name__):
                self._shelves[environment].place(read(body))
