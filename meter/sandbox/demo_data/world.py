"""A world to try things on: that of the provider's own examples, under the references that the examples use.

Everything is dated relative to the day on which it is loaded, and every figure is a sum over rows that are there:

- Bob has used 87 of Starter's 100 requests this month, so 13 are left.
- The last 30 days have 84 transactions: 79 payments that succeeded, 3 that failed and 2 refunds; 3,871.00 dollars came
  in, 892.50 of them for support-bot. All rows are of these days, so that the figures without bounds are the same.
- Jane has paid for Pro 27 days ago (txn_D7E8F9G0, 49.00 dollars), her next bill is due a month after that.

The examples also create what others of them find: Jane, and the product support-bot. Both are there from the start, and
whoever creates them (her by her email, the product by its name) gets them once, under their references, instead of
being told that they exist; the first refund of txn_D7E8F9G0 is txn_H1I2J3K4. So each conversation can be held, in any
order. One whose figures another has moved (by a usage, by a refund) wants a world of its own: `POST /sandbox/reset`
makes one.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from meter.sandbox.bookkeeping.entries import AnyEntry, Customer, Plan, Product, Purchase, Reservation
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.periods import counted_period, moment_of
from meter.sandbox.bookkeeping.usages import Usage
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.demo_data.sales import PAYMENT, Buyers, ago, named, sold
from meter.sandbox.rest.calls import SANDBOX
from meter.sandbox.rest.errors import iso
from meter.sandbox.store import Store

JANE, BOB = "cus_A1B2C3D4", "cus_X7Y8Z9W0"
SUPPORT_BOT, STARTER, PRO = "prd_P9Q0R1S2", "pln_F1G2H3J4", "pln_K5L6M7N8"
REFUND = "txn_H1I2J3K4"
USED = 87
"""Requests that Bob has made this month."""

_BOB_SINCE_DAYS = 20
_OTHERS = "Ada Ben Carla Dov Eva Finn Gita Hugo Iris Jon Kim Lea Max Nia Olaf Pia Raj Rosa Sam Tara Uma Vera Will Yara"


class NotEmptyError(Exception):
    """There is something else already; says so in one sentence."""


class World(NamedTuple):
    """What is loaded; purchases and payments in the order in which they happened."""

    entries: Sequence[AnyEntry]
    credits_changed: Sequence[Credit]
    usages: Sequence[Usage]


def load(store: Store, catalogue: Catalogue, now: float) -> None:
    """Put the world into the sandbox's environment as of Unix seconds; nothing happens where it has been put before.

    Raises NotEmptyError if the environment has other customers or products.
    """
    shelf = catalogue[SANDBOX]
    if shelf.reservations:
        return
    if shelf.customers or shelf.products:
        raise NotEmptyError("the demo data need a sandbox without customers and products of its own")
    made = world(now)
    store.record(SANDBOX, made.usages, now)
    catalogue.put(SANDBOX, made.entries, made.credits_changed)


def world(now: float) -> World:
    """The world as of Unix seconds."""
    founded = iso(ago(now, 60, 9))
    products = list(_products(founded))
    starter, pro, team, report = _plans(founded)
    customers = list(_customers(founded))
    jane, bob, *others = [customer.reference for customer in customers]
    names = {product.reference: product.name for product in products}
    sales = sold(now, names, Buyers(pro, [jane, *others[:19]], team, others, report, others[:13], others[:22], bob))
    enrolled = _enrolled(now, bob, starter)
    reserved = [
        Reservation.of("customer", customers[0].email, JANE),
        Reservation.of("product", products[0].name, SUPPORT_BOT),
        Reservation.of("refund", PAYMENT, REFUND),
    ]
    there: list[AnyEntry] = [*customers, *products, starter, pro, team, report, enrolled]
    there += [*sales.purchases, *sales.rows, *reserved]
    return World(there, sales.credits_bought, list(_usages(now, enrolled)))


def _products(founded: str) -> Iterator[Product]:
    for reference, name, description in (
        (SUPPORT_BOT, "support-bot", "Customer support automation"),
        (named("prd", 1), "code-review", "Reviews of pull requests"),
        (named("prd", 2), "market-report", "One report on one market"),
    ):
        yield Product(reference=reference, name=name, description=description, created_at=founded, updated_at=founded)


def _plans(founded: str) -> tuple[Plan, Plan, Plan, Plan]:
    """Starter and Pro of support-bot, then the one of each other product."""
    made: dict[str, Any] = {"created_at": founded, "updated_at": founded}
    monthly: dict[str, Any] = {"billing_cycle": "monthly", **made}
    return (
        Plan(STARTER, SUPPORT_BOT, name="Starter", type="usage-based", free_units=100, default=True, **monthly),
        Plan(PRO, SUPPORT_BOT, name="Pro", price=4900, **monthly),
        Plan(named("pln", 1), named("prd", 1), name="Team", price=9900, **monthly),
        Plan(named("pln", 2), named("prd", 2), name="Report", type="one-time", price=1250, **made),
    )


def _customers(founded: str) -> Iterator[Customer]:
    """Jane, Bob and the others."""
    yield Customer(reference=JANE, email="jane@acme.com", name="Jane Smith", created_at=founded)
    yield Customer(reference=BOB, email="bob@startup.io", name="Bob", created_at=founded)
    for number, name in enumerate(_OTHERS.split()):
        email = f"{name.lower()}@customers.example"
        yield Customer(reference=named("cus", number), email=email, name=name, created_at=founded)


def _enrolled(now: float, customer_ref: str, plan: Plan) -> Purchase:
    """Bob's place on Starter."""
    return Purchase(
        reference=named("pur of bob", 0),
        customer_ref=customer_ref,
        product_ref=plan.product_ref,
        plan=plan,
        created_at=iso(ago(now, _BOB_SINCE_DAYS, 9)),
        product_name="support-bot",
    )


def _usages(now: float, purchase: Purchase) -> Iterator[Usage]:
    """Requests spread evenly over the month so far, or since Bob is there."""
    month = counted_period(purchase.created_at, None, now, "month")
    begin = max(moment_of(month.begin), moment_of(purchase.created_at)).timestamp()
    for number in range(USED):
        at = iso(begin + (now - begin) * number / USED)
        key = f"demo-data-{number}"
        yield Usage(purchase.customer_ref, purchase.product_ref, idempotency_key=key, timestamp=at)
