"""Renewals: each period that begins is paid for once, whenever somebody looks."""

from contextlib import closing
from typing import Any

import httpx
import pytest

from meter.sandbox.store import Store
from tests.sandboxes import CUSTOMER, NOW, PRODUCT, FixedClock, bought, client_of, known, plan_of, remaining, tool

DAY = 86400
LAST_OF_JANUARY = 1_769_860_800.0
"""2026-01-31T12:00:00Z."""


async def paid(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    """Type and day of every transaction."""
    answer = await client.get("/sandbox/transactions")
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["transactions"]
    return [(row["type"], row["createdAt"][:10]) for row in rows]


@pytest.mark.parametrize(
    ("cycle", "start", "days"),
    [
        ("weekly", NOW, ["2026-03-22", "2026-03-29"]),
        ("monthly", NOW, ["2026-04-15", "2026-05-15"]),
        ("monthly", LAST_OF_JANUARY, ["2026-02-28", "2026-03-31"]),
        ("quarterly", LAST_OF_JANUARY, ["2026-04-30", "2026-07-31"]),
        ("yearly", NOW, ["2027-03-15", "2028-03-15"]),
    ],
)
async def test_every_period_that_begins_is_paid(cycle: str, start: float, days: list[str]) -> None:
    """In the moment in which it begins, not before; the next bill moves on with it."""
    clock = FixedClock(start)
    async with client_of(clock=clock) as client:
        await known(client)
        purchase = await bought(client, await plan_of(client, price=4900, billingCycle=cycle))
        path = f"/v1/sdk/purchases/{purchase}"
        for number, day in enumerate(days, start=1):
            due = (await client.get(path)).json()["nextBillingDate"]
            assert due[:10] == day
            while (await client.get(path)).json()["nextBillingDate"] == due:
                assert len(await paid(client)) == number
                clock.now += DAY
            assert (await paid(client))[number:] == [("renewal", day)]
        shown = (await client.get(path)).json()
    assert (shown["status"], shown["paidAt"][:10]) == ("active", days[-1])


async def test_what_nobody_looked_at_is_made_up_for() -> None:
    """After months, and a restart: a payment for each period, dated when it was due, and none twice."""
    clock = FixedClock()
    expected = [("purchase", "2026-03-15"), ("renewal", "2026-04-15"), ("renewal", "2026-05-15")]
    with closing(Store()) as store:
        async with client_of(store, clock=clock) as client:
            await known(client)
            await bought(client, await plan_of(client, price=4900, billingCycle="monthly"))
        clock.now += 70 * DAY
        for _ in range(2):
            async with client_of(store, clock=clock) as client:
                assert await paid(client) == expected
                product = (await client.get(f"/v1/sdk/products/{PRODUCT}")).json()
                assert (product["balance"], product["totalTransactions"]) == (3 * 4900, 3)


async def test_what_was_cancelled_is_not_renewed() -> None:
    """Access to the end of the period, then expired, and no payment; taken up again in time, it is renewed."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=10)
        path = f"/v1/sdk/purchases/{await bought(client, await plan_of(client, price=4900, limit=70))}"
        await client.post(f"{path}/cancel")
        await client.post(f"{path}/reactivate")
        clock.now += 31 * DAY
        assert len(await paid(client)) == 2
        end = (await client.post(f"{path}/cancel")).json()["purchase"]["endDate"]
        assert end[:10] == "2026-05-15"
        clock.now += 30 * DAY - 1
        assert await remaining(client) == 70
        clock.now += 1
        assert await remaining(client) == 10
        assert (await client.get(path)).json()["status"] == "expired"
        clock.now += 365 * DAY
        assert len(await paid(client)) == 2


async def test_only_what_costs_and_recurs_is_renewed() -> None:
    """Not what is free, bought once, or replaced."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=10)
        await remaining(client)
        await bought(client, await plan_of(client, price=900, billingCycle="monthly"))
        await bought(client, await plan_of(client, price=1900, type="one-time"))
        clock.now += 100 * DAY
        assert [kind for kind, _ in await paid(client)] == ["purchase", "purchase"]


async def test_both_environments_are_renewed() -> None:
    """Each for itself."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        for environment in ("live", "sandbox"):
            await client.post("/sandbox/customers", json={"reference": CUSTOMER, "environment": environment})
            plan = {"reference": "pln_1", "price": 5, "billingCycle": "monthly"}
            body = {"reference": PRODUCT, "environment": environment, "plan": plan}
            await client.post("/sandbox/products", json=body)
            body = {"customerRef": CUSTOMER, "productRef": PRODUCT, "planRef": "pln_1", "environment": environment}
            await client.post("/sandbox/purchases", json=body)
        clock.now += 31 * DAY
        for environment in ("live", "sandbox"):
            answer = await client.get("/sandbox/transactions", params={"environment": environment})
            assert len(answer.json()["transactions"]) == 2


@pytest.mark.parametrize(("which", "status", "left"), [("purchase", "active", 70), ("renewal", "refunded", 10)])
async def test_a_refund_ends_what_runs_only_if_it_paid_for_it(which: str, status: str, left: int) -> None:
    """Money for the month before goes back without an end; that for this month ends the purchase and its renewals."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=10)
        path = f"/v1/sdk/purchases/{await bought(client, await plan_of(client, price=4900, limit=70))}"
        clock.now += 31 * DAY
        transactions = (await client.get("/sandbox/transactions")).json()["transactions"]
        (source,) = [row["reference"] for row in transactions if row["type"] == which]
        assert (await tool(client, "create_refund", {"sourceTransactionRef": source}))["amount"] == 4900
        assert ((await client.get(path)).json()["status"], await remaining(client)) == (status, left)
        clock.now += 31 * DAY
        assert [kind for kind, _ in await paid(client)].count("renewal") == (2 if status == "active" else 1)
