"""The world of the provider's examples: their references, their figures, on any day, and every figure moves."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import httpx
import pytest

from meter.sandbox.app import Sandbox
from meter.sandbox.demo_data.sales import PAYMENT, PURCHASE
from meter.sandbox.demo_data.world import BOB, JANE, PRO, SUPPORT_BOT, NotEmptyError, world
from meter.sandbox.knobs import Knobs
from meter.sandbox.rest.calls import SANDBOX
from meter.sandbox.store import Store
from tests.operations import OPERATIONS
from tests.sandboxes import BULK, LIMITS, FixedClock, client_of, rows, tool
from tests.schemas import faults

SCHEMAS = {each["operation"]: each.get("response", {}) for each in OPERATIONS}

DAYS = (
    "2026-02-11T10:30:00",
    "2026-03-01T00:00:00",
    "2026-02-28T23:59:59.999",
    "2028-02-29T12:00:00",
    "2028-03-01T08:00:00",
    "2026-01-31T23:00:00",
    "2026-12-31T23:59:59",
    "2027-01-01T00:00:00.001",
)
"""Days on which months and years begin and end; the first is that of the examples."""

FIGURES = {"totalTransactions": 84, "successful": 79, "failed": 3, "refunded": 2, "totalRevenue": 387_100}


def clock_at(moment: str) -> FixedClock:
    """A clock that stands at a moment, in UTC."""
    return FixedClock(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())


def day(clock: FixedClock, days_ago: int) -> str:
    """The date of some days ago."""
    return f"{datetime.fromtimestamp(clock.now, UTC) - timedelta(days=days_ago):%Y-%m-%d}"


async def figures(client: httpx.AsyncClient, **bounds: str) -> dict[str, Any]:
    """The statistics' sums."""
    found = await tool(client, "get_transaction_stats", bounds)
    return {name: found[name] for name in FIGURES}


async def earned(client: httpx.AsyncClient) -> int:
    """What support-bot has earned; both ways to ask agree."""
    balance = await tool(client, "get_product_balance", {"productRef": SUPPORT_BOT})
    product = (await client.get(f"/v1/sdk/products/{SUPPORT_BOT}")).json()
    assert (balance["balance"], balance["totalTransactions"]) == (product["balance"], product["totalTransactions"])
    return int(balance["balance"])


async def left(client: httpx.AsyncClient) -> int:
    """The requests that Bob has left."""
    answer = await client.post(LIMITS, json={"customerRef": BOB, "productRef": SUPPORT_BOT})
    return int(answer.raise_for_status().json()["remaining"])


@pytest.mark.parametrize("moment", DAYS)
async def test_the_figures_are_those_of_the_examples(moment: str) -> None:
    """On whichever day it is loaded, within the bounds of the last 30 days, one more as in the example, or none."""
    clock = clock_at(moment)
    async with client_of(clock=clock, demo_data=True) as client:
        assert await left(client) == 13
        checked = await tool(client, "check_limits", {"customerRef": BOB, "productRef": SUPPORT_BOT})
        assert (checked["used"], checked["limit"], checked["remaining"]) == (87, 100, 13)
        for days_ago in (29, 30, 31):
            assert await figures(client, fromDate=day(clock, days_ago), toDate=day(clock, 0)) == FIGURES
        assert await figures(client) == FIGURES
        assert await earned(client) == 89_250


@pytest.mark.parametrize("knobs", [Knobs(limit_period="30_days"), Knobs(limit_counts="events"), Knobs()])
async def test_the_allowance_is_the_same_however_it_is_counted(knobs: Knobs) -> None:
    """Every request is one unit of these days."""
    for moment in DAYS:
        async with client_of(clock=clock_at(moment), demo_data=True, knobs=knobs) as client:
            assert await left(client) == 13


@pytest.mark.parametrize("moment", DAYS)
async def test_jane_has_one_active_purchase(moment: str) -> None:
    """Pro at 49 dollars a month, begun 27 days ago, with the next bill a month later, which is still to come."""
    clock = clock_at(moment)
    async with client_of(clock=clock, demo_data=True) as client:
        (purchase,) = (await client.get(f"/v1/sdk/purchases/customer/{JANE}")).json()["purchases"]
    assert (purchase["reference"], purchase["status"], purchase["productRef"]) == (PURCHASE, "active", SUPPORT_BOT)
    plan = purchase["planSnapshot"]
    assert (plan["reference"], plan["name"], plan["price"], plan["billingCycle"]) == (PRO, "Pro", 4900, "monthly")
    assert (purchase["startDate"][:10], purchase["customerEmail"]) == (day(clock, 27), "jane@acme.com")
    assert purchase["nextBillingDate"][:10] > day(clock, 0)
    if moment == DAYS[0]:
        assert (purchase["startDate"][:10], purchase["nextBillingDate"][:10]) == ("2026-01-15", "2026-02-15")


@pytest.mark.parametrize("moment", DAYS)
async def test_nothing_lies_in_the_future_and_all_of_it_adds_up(moment: str) -> None:
    """Payments and requests are older than now; each payment names what exists, each paid purchase has its payment."""
    clock = clock_at(moment)
    now = f"{datetime.fromtimestamp(clock.now, UTC):%Y-%m-%dT%H:%M:%S.999Z}"
    async with client_of(clock=clock, demo_data=True) as client:
        listed = (await client.get("/sandbox/transactions")).json()["transactions"]
        purchases = {each["reference"]: each for each in (await client.get("/v1/sdk/purchases")).json()["purchases"]}
        assert all(usage["timestamp"] <= now for usage in await rows(client))
    assert [row["createdAt"] for row in listed] == sorted(row["createdAt"] for row in listed)
    assert listed[-1]["createdAt"] <= now
    bought = {row["purchaseRef"]: row for row in listed if row["type"] == "purchase" and "purchaseRef" in row}
    assert set(bought) == {reference for reference, purchase in purchases.items() if purchase["amount"]}
    for reference, row in bought.items():
        purchase = purchases[reference]
        assert (row["amount"], row["customerRef"]) == (purchase["amount"], purchase["customerRef"])
        assert row["createdAt"] == purchase["startDate"] == purchase["paidAt"]
    assert [each["status"] for each in purchases.values()].count("refunded") == 1


@pytest.mark.parametrize(
    ("operation", "path", "body"),
    [
        ("GET /v1/sdk/customers/{reference}", f"/v1/sdk/customers/{JANE}", None),
        ("GET /v1/sdk/customers/{reference}/balance", f"/v1/sdk/customers/{BOB}/balance", None),
        ("GET /v1/sdk/products", "/v1/sdk/products", None),
        ("GET /v1/sdk/products/{productRef}", f"/v1/sdk/products/{SUPPORT_BOT}", None),
        ("GET /v1/sdk/products/{productRef}/plans", f"/v1/sdk/products/{SUPPORT_BOT}/plans", None),
        ("GET /v1/sdk/purchases", "/v1/sdk/purchases", None),
        ("GET /v1/sdk/purchases/customer/{customerRef}", f"/v1/sdk/purchases/customer/{JANE}", None),
        ("GET /v1/sdk/purchases/product/{productRef}", f"/v1/sdk/purchases/product/{SUPPORT_BOT}", None),
        ("POST /v1/sdk/limits", LIMITS, {"customerRef": BOB, "productRef": SUPPORT_BOT}),
        ("POST /v1/sdk/user-info", "/v1/sdk/user-info", {"customerRef": BOB, "productRef": SUPPORT_BOT}),
    ],
)
async def test_it_is_seen_over_rest_as_the_provider_describes(
    operation: str, path: str, body: dict[str, str] | None
) -> None:
    """Every answer fits the schema of its operation."""
    async with client_of(demo_data=True) as client:
        answer = await (client.get(path) if body is None else client.post(path, json=body))
    assert answer.status_code == 200
    assert list(faults(answer.json(), SCHEMAS[operation])) == []


async def test_lists_agree_with_each_other() -> None:
    """All purchases, those by product and those by customer are the same; the products' balances are the revenue."""
    async with client_of(demo_data=True) as client:
        everything = (await client.get("/v1/sdk/purchases")).json()["purchases"]
        products = (await client.get("/v1/sdk/products")).json()["products"]
        assert [product["name"] for product in products] == ["support-bot", "code-review", "market-report"]
        for side, names in (("product", "productRef"), ("customer", "customerRef")):
            found = []
            for reference in sorted({purchase[names] for purchase in everything}):
                found += (await client.get(f"/v1/sdk/purchases/{side}/{reference}")).json()["purchases"]
            assert sorted(found, key=itemgetter("reference")) == sorted(everything, key=itemgetter("reference"))
        listed = (await client.get("/sandbox/transactions")).json()["transactions"]
        credits_sold = sum(row["amount"] for row in listed if row["type"] == "topup")
        assert sum(product["balance"] for product in products) + credits_sold == FIGURES["totalRevenue"]
        bought = [(await client.get(f"/v1/sdk/customers/{row['customerRef']}/balance")).json() for row in listed[:9]]
        assert {customer["credits"] for customer in bought} <= {0, 200_000}
        (bob,) = (await client.get(f"/v1/sdk/purchases/customer/{BOB}", params={"includeFree": "true"})).json()[
            "purchases"
        ]
        assert (bob["usage"]["used"], bob["planSnapshot"]["freeUnits"], bob["isRecurring"]) == (87, 100, False)


async def test_every_figure_moves() -> None:
    """With a transaction, a refund and five requests, as sums do."""
    async with client_of(clock=clock_at(DAYS[0]), demo_data=True) as client:
        added = {"customerRef": BOB, "productRef": SUPPORT_BOT, "planRef": PRO, "amount": 4900}
        (await client.post("/sandbox/transactions", json=added)).raise_for_status()
        moved = {**FIGURES, "totalTransactions": 85, "successful": 80, "totalRevenue": 392_000}
        assert (await figures(client), await earned(client)) == (moved, 94_150)
        refund = await tool(
            client, "create_refund", {"sourceTransactionId": PAYMENT, "amount": 2500, "reason": "Double charge"}
        )
        assert (refund["reference"], refund["amount"]) == ("txn_H1I2J3K4", 2500)
        moved |= {"totalTransactions": 86, "refunded": 3, "totalRevenue": 389_500}
        assert (await figures(client), await earned(client)) == (moved, 91_650)
        events = [{"customerRef": BOB, "productRef": SUPPORT_BOT} for _ in range(5)]
        (await client.post(BULK, json={"events": events})).raise_for_status()
        assert await left(client) == 8
        again = await tool(client, "create_refund", {"sourceTransactionRef": PAYMENT})
        assert again["reference"] not in (PAYMENT, "txn_H1I2J3K4")
        assert (again["amount"], await earned(client)) == (2400, 89_250)
        shown = (await client.get(f"/v1/sdk/purchases/{PURCHASE}")).json()
        assert shown["status"] == "refunded"


async def test_what_the_examples_create_is_given_once() -> None:
    """Jane and support-bot, under their references and with all that is theirs; then they exist, as anything does."""
    async with client_of(demo_data=True) as client:
        for name in ("Jane Smith", "Jane"):
            jane = await client.post("/v1/sdk/customers", json={"email": "Jane@acme.com", "name": name})
            assert jane.status_code == (201 if name == "Jane Smith" else 409)
            if jane.status_code == 201:
                assert (jane.json()["reference"], jane.json()["purchases"][0]["reference"]) == (JANE, PURCHASE)
        bob = await tool(client, "ensure_customer", {"email": "bob@startup.io", "name": "Robert"})
        assert (bob["reference"], bob["name"], bob["created"]) == (BOB, "Bob", False)
        body = {"name": "support-bot", "description": "Customer support automation"}
        first, second = [(await client.post("/v1/sdk/products", json=body)).json() for _ in "12"]
        assert (first["reference"], len(first["plans"]), first["balance"]) == (SUPPORT_BOT, 2, 89_250)
        assert second["reference"] != SUPPORT_BOT


async def test_it_is_loaded_once_into_a_file(tmp_path: Path) -> None:
    """A second start doubles nothing and takes nothing back; a month later, what recurs has been paid again."""
    clock, data = clock_at(DAYS[0]), tmp_path / "sandbox.db"
    with closing(Store(data)) as store:
        async with client_of(store, clock=clock, demo_data=True) as client:
            await tool(client, "create_refund", {"sourceTransactionRef": PAYMENT, "amount": 2500})
            await client.patch(f"/v1/sdk/customers/{BOB}", json={"name": "Robert"})
    with closing(Store(data)) as store:
        async with client_of(store, clock=clock, demo_data=True) as client:
            assert (await figures(client))["totalTransactions"] == 85
            assert (await client.get("/sandbox/totals")).json()["usages"] == 87
            assert (await client.get(f"/v1/sdk/customers/{BOB}")).json()["name"] == "Robert"
            refund = await tool(client, "create_refund", {"sourceTransactionRef": PAYMENT, "amount": 1})
            assert refund["reference"] != "txn_H1I2J3K4"
        clock.now += 4 * 86400
        async with client_of(store, clock=clock, demo_data=True) as client:
            listed = (await client.get("/sandbox/transactions")).json()["transactions"]
            renewals = {row["purchaseRef"]: row for row in listed if row["type"] == "renewal"}
            assert renewals[PURCHASE]["createdAt"] == "2026-02-15T09:00:00.000Z"


async def test_a_start_that_was_cut_short_is_made_up_for() -> None:
    """Killed after the requests and before the rest, the next start has the requests once."""
    clock = clock_at(DAYS[0])
    with closing(Store()) as store:
        store.record(SANDBOX, world(clock.now).usages, clock.now)
        async with client_of(store, clock=clock, demo_data=True) as client:
            assert (await left(client), await figures(client)) == (13, FIGURES)


async def test_a_reset_begins_anew() -> None:
    """What was done is gone, the world is back, as of now."""
    clock = clock_at(DAYS[0])
    async with client_of(clock=clock, demo_data=True) as client:
        await tool(client, "create_refund", {"sourceTransactionRef": PAYMENT})
        clock.now += 100 * 86400
        (await client.post("/sandbox/reset")).raise_for_status()
        assert (await figures(client, fromDate=day(clock, 30)), await left(client)) == (FIGURES, 13)
        refund = await tool(client, "create_refund", {"sourceTransactionRef": PAYMENT})
        assert refund["reference"] == "txn_H1I2J3K4"


async def test_it_overwrites_nobody() -> None:
    """A file with customers or products of its own is left alone, and the reason is one sentence."""
    with closing(Store()) as store:
        async with client_of(store) as client:
            await client.post("/sandbox/customers", json={"reference": JANE, "email": "me@me.example"})
        with pytest.raises(NotEmptyError, match="customers"):
            Sandbox(store, demo_data=True)
        async with client_of(store) as client:
            assert (await client.get(f"/v1/sdk/customers/{JANE}")).json()["email"] == "me@me.example"


async def test_only_the_sandbox_has_it() -> None:
    """A live key sees nothing of it."""
    async with client_of(demo_data=True, sent_key="sk_live_1") as client:
        assert (await client.get(f"/v1/sdk/customers/{JANE}")).status_code == 404
        assert (await figures(client))["totalTransactions"] == 0
