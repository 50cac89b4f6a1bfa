"""What plans of each type do: how allowances begin again, how trials convert, what happens beyond."""

from typing import Any

import httpx
import pytest

from meter.sandbox.knobs import Knobs
from meter.sandbox.rest.errors import iso
from tests.sandboxes import (
    CUSTOMER,
    LIMITS,
    PRODUCT,
    USAGES,
    FixedClock,
    activate,
    balance,
    bought,
    client_of,
    event,
    grant,
    known,
    plan_of,
    remaining,
)

DAY = 86400
REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}


async def use(client: httpx.AsyncClient, units: int, **fields: Any) -> dict[str, Any]:
    """Use so many units; the answer."""
    answer = await client.post(USAGES, json=event(units=units, **fields))
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


async def shown(client: httpx.AsyncClient, purchase: str) -> dict[str, Any]:
    """A purchase."""
    found: dict[str, Any] = (await client.get(f"/v1/sdk/purchases/{purchase}")).json()
    return found


async def checked_out(client: httpx.AsyncClient, plan: str) -> str:
    """A purchase by way of a checkout that is paid."""
    session = (await client.post("/v1/sdk/checkout-sessions", json={**REFS, "planRef": plan})).json()["sessionId"]
    return str((await client.post(f"/sandbox/checkout-sessions/{session}")).json()["purchaseRef"])


async def transactions(client: httpx.AsyncClient) -> list[tuple[str, str, str]]:
    """Type, status and day of each."""
    rows = (await client.get("/sandbox/transactions")).json()["transactions"]
    return [(row["type"], row["status"], row["createdAt"][:10]) for row in rows]


@pytest.mark.parametrize(
    ("knobs", "cycle", "days"),
    [
        (Knobs(), "weekly", 7),
        (Knobs(), "monthly", 17),
        (Knobs(), "quarterly", 17),
        (Knobs(), "custom", 30),
        (Knobs(), "yearly", 292),
        (Knobs(limit_period="anniversary"), "monthly", 31),
        (Knobs(limit_period="anniversary"), "quarterly", 92),
        (Knobs(limit_period="30_days"), "monthly", 30),
        (Knobs(limit_period="30_days"), "quarterly", 90),
        (Knobs(limit_period="30_days"), "yearly", 365),
    ],
)
async def test_an_allowance_begins_again_with_its_period(knobs: Knobs, cycle: str, days: int) -> None:
    """Bought on 15 March: so many days later it is whole again, not a day before, and late usage changes nothing."""
    clock = FixedClock()
    async with client_of(clock=clock, knobs=knobs) as client:
        await known(client)
        purchase = await bought(client, await plan_of(client, price=900, limit=50, billingCycle=cycle))
        await use(client, 30)
        clock.now += (days - 1) * DAY
        assert await remaining(client) == 20
        usage = (await shown(client, purchase))["usage"]
        assert usage["used"] == 30
        clock.now += DAY
        assert await remaining(client) == 50
        assert (await shown(client, purchase))["usage"]["periodStart"] == usage["periodEnd"]
        await use(client, 5, timestamp=iso(clock.now - DAY))
        assert await remaining(client) == 50


async def test_what_is_bought_once_is_used_once() -> None:
    """No period renews it, nothing is paid again, and what was used earlier that day is not held against it."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=10)
        await remaining(client)
        await use(client, 10)
        plan = await plan_of(client, type="one-time", price=900, limit=50)
        purchase = await bought(client, plan)
        assert await remaining(client) == 50
        await use(client, 30)
        clock.now += 400 * DAY
        assert await remaining(client) == 20
        found = await shown(client, purchase)
        assert (found["isRecurring"], found["autoRenew"], "nextBillingDate" in found) == (False, False, False)
        assert [kind for kind, *_ in await transactions(client)] == ["purchase"]
        await use(client, 20)
        assert await remaining(client) == 0
        again = await bought(client, plan)
        assert await remaining(client) == 50
        assert ((await shown(client, purchase))["status"], (await shown(client, again))["status"]) == (
            "expired",
            "active",
        )


async def test_a_plan_that_does_not_renew_ends_with_its_first_period() -> None:
    """Paid once; a cancellation that is undone does not make it longer."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=None)
        plan = await plan_of(client, price=900, limit=50, billingCycle="weekly", autoRenew=False)
        purchase = await checked_out(client, plan)
        path = f"/v1/sdk/purchases/{purchase}"
        for change in ("cancel", "reactivate"):
            found = (await client.post(f"{path}/{change}")).json()["purchase"]
            assert (found["status"], found["endDate"]) == ("active", "2026-03-22T12:00:00.000Z")
            assert (found["autoRenew"], "nextBillingDate" in found) == (False, False)
        clock.now += 7 * DAY
        assert ((await shown(client, purchase))["status"], await remaining(client)) == ("expired", 0)
        assert [kind for kind, *_ in await transactions(client)] == ["purchase"]


async def test_a_trial_is_paid_when_it_ends() -> None:
    """Until then it costs nothing and gives everything; the periods that are paid begin with its end."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=10)
        plan = await plan_of(client, price=4900, limit=50, billingCycle="monthly", trialDays=14)
        purchase = await checked_out(client, plan)
        found = await shown(client, purchase)
        assert (found["status"], "paidAt" in found) == ("trialing", False)
        assert found["nextBillingDate"] == "2026-03-29T12:00:00.000Z"
        assert (await remaining(client), await transactions(client)) == (50, [])
        clock.now += 14 * DAY
        found = await shown(client, purchase)
        assert (found["status"], found["paidAt"]) == ("active", "2026-03-29T12:00:00.000Z")
        assert found["nextBillingDate"] == "2026-04-29T12:00:00.000Z"
        clock.now += 31 * DAY
        assert (await shown(client, purchase))["status"] == "active"
        expected = [("purchase", "succeeded", "2026-03-29"), ("renewal", "succeeded", "2026-04-29")]
        assert await transactions(client) == expected


async def test_a_cancelled_trial_costs_nothing() -> None:
    """It goes on to its end, can be taken up again until then, and there is no second one of the product."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=None)
        plan = await plan_of(client, price=4900, limit=50, trialDays=14)
        path = f"/v1/sdk/purchases/{await checked_out(client, plan)}"
        cancelled = (await client.post(f"{path}/cancel")).json()["purchase"]
        assert (cancelled["status"], cancelled["endDate"]) == ("trialing", "2026-03-29T12:00:00.000Z")
        assert (await client.post(f"{path}/reactivate")).json()["purchase"]["status"] == "trialing"
        await client.post(f"{path}/cancel")
        clock.now += 14 * DAY
        assert ((await client.get(path)).json()["status"], await remaining(client)) == ("expired", 0)
        assert await transactions(client) == []
        assert (await shown(client, await checked_out(client, plan)))["status"] == "active"
        assert [kind for kind, *_ in await transactions(client)] == ["purchase"]


@pytest.mark.parametrize(
    ("plan", "left"),
    [
        ({"freeUnits": 10}, 10),
        ({"limit": 20}, 20),
        ({"freeUnits": 10, "limit": 20}, 10),
        ({"freeUnits": 0}, 999_999),
        ({"limit": 0}, 999_999),
        ({"price": 900, "limit": 20}, 20),
        ({"price": 900, "freeUnits": 10, "limit": 20}, 20),
        ({"price": 900, "freeUnits": 10}, 10),
        ({"price": 900, "freeUnits": 10, "limit": 0}, 999_999),
        ({"price": 900, "type": "hybrid", "limit": 20}, 20),
        ({"price": 900, "type": "hybrid", "limit": 20, "creditsPerUnit": 10}, 20 + 5),
        ({"price": 900, "type": "hybrid", "limit": 20, "creditsPerUnit": 10, "billingModel": "post-paid"}, 999_999),
        ({"type": "usage-based", "creditsPerUnit": 10}, 5),
        ({"type": "usage-based", "creditsPerUnit": 10, "limit": 20}, 5),
        ({"type": "usage-based", "creditsPerUnit": 10, "billingModel": "post-paid"}, 999_999),
        ({"type": "usage-based", "creditsPerUnit": 10, "billingModel": "post-paid", "limit": 20}, 20),
        ({"price": 900, "type": "one-time"}, 999_999),
    ],
)
async def test_what_a_plan_gives(plan: dict[str, Any], left: int) -> None:
    """To a customer with 50 credits: free plans give free units, paid ones their limit, credits come on top."""
    async with client_of() as client:
        await known(client, free_units=None)
        await grant(client, 50)
        await bought(client, await plan_of(client, **plan))
        assert await remaining(client) == left


async def test_what_goes_beyond_a_hybrid_plan_is_billed_afterwards() -> None:
    """If it is post-paid: nobody is stopped, no credits are taken, and the purchase shows what it costs."""
    async with client_of() as client:
        await known(client)
        await grant(client, 1000)
        fields = {"type": "hybrid", "price": 900, "limit": 10, "creditsPerUnit": 50, "billingModel": "post-paid"}
        purchase = await bought(client, await plan_of(client, **fields))
        answer = await use(client, 14)
        assert answer["creditDebit"] == {"debited": False, "reason": "plan_not_credit_based"}
        usage = (await shown(client, purchase))["usage"]
        assert (usage["used"], usage["overageUnits"], usage["overageCost"]) == (14, 4, 2)
        assert (await remaining(client), await balance(client)) == (999_999, 1000)


async def test_a_plan_that_bills_by_use_asks_first() -> None:
    """Also one that bills afterwards: nobody is put on it by asking for limits."""
    async with client_of() as client:
        await known(client, free_units=None)
        plan = await plan_of(client, type="usage-based", creditsPerUnit=10, billingModel="post-paid")
        answer = (await client.post(LIMITS, json=REFS)).json()
        assert (answer["withinLimits"], answer["activationRequired"]) == (False, True)
        assert (await activate(client, plan))["status"] == "activated"
        assert await remaining(client) == 999_999


async def test_an_archived_plan_is_kept_by_whoever_has_it() -> None:
    """Nobody else can have it: not offered, activated, checked out, announced or fallen upon."""
    async with client_of() as client:
        await known(client, free_units=None)
        plan = await plan_of(client, price=900, limit=20)
        free = await plan_of(client, freeUnits=5, default=True)
        await bought(client, plan)
        for each in (plan, free):
            path = f"/v1/sdk/products/{PRODUCT}/plans/{each}"
            assert (await client.put(path, json={"status": "archived"})).json()["isActive"] is False
        assert await remaining(client) == 20
        await client.post("/sandbox/customers", json={"reference": "cus_2"})
        other = {**REFS, "customerRef": "cus_2"}
        answer = (await client.post(LIMITS, json=other)).json()
        assert (answer["withinLimits"], answer["plans"]) == (False, [])
        wish = {**other, "planRef": plan}
        assert (await client.post("/v1/sdk/activate", json=wish)).json()["status"] == "invalid"
        assert (await client.post("/v1/sdk/checkout-sessions", json=wish)).status_code == 400
        headers = {"idempotency-key": "1"}
        assert (await client.post("/v1/sdk/payment-intents", json=wish, headers=headers)).status_code == 400


async def test_a_plan_archived_during_the_checkout_is_not_sold() -> None:
    """Nor another in its place."""
    async with client_of() as client:
        await known(client, free_units=10)
        plan = await plan_of(client, price=900, limit=20)
        session = (await client.post("/v1/sdk/checkout-sessions", json={**REFS, "planRef": plan})).json()["sessionId"]
        await client.put(f"/v1/sdk/products/{PRODUCT}/plans/{plan}", json={"status": "archived"})
        assert (await client.post(f"/sandbox/checkout-sessions/{session}")).status_code == 400
        assert await remaining(client) == 10


async def test_a_hidden_plan_is_not_offered() -> None:
    """Whoever knows it can have it."""
    async with client_of() as client:
        await known(client, free_units=None)
        plan = await plan_of(client, limit=20, hidden=True, default=False)
        assert (await client.post(LIMITS, json=REFS)).json()["plans"] == []
        assert (await activate(client, plan))["status"] == "activated"


async def test_who_is_overdue_goes_on_and_who_is_suspended_does_not() -> None:
    """Until the purchase is active again; a purchase that has ended stays so."""
    async with client_of() as client:
        await known(client, free_units=10)
        purchase = await bought(client, await plan_of(client, price=900, limit=20))
        path = f"/sandbox/purchases/{purchase}"
        for status, left in (("past_due", 20), ("suspended", 0), ("active", 20)):
            assert (await client.put(path, json={"status": status})).json()["status"] == status
            assert ((await shown(client, purchase))["status"], await remaining(client)) == (status, left)
            listed = (await client.get("/v1/sdk/purchases", params={"status": status})).json()["purchases"]
            assert [each["reference"] for each in listed] == [purchase]
        await bought(client, await plan_of(client, price=900, limit=30))
        assert (await client.put(path, json={"status": "active"})).status_code == 409
        assert (await client.put("/sandbox/purchases/x", json={"status": "active"})).status_code == 404
        assert (await client.put(path, json={"status": "refunded"})).status_code == 400


@pytest.mark.parametrize(("status", "rows"), [("failed", [("topup", "failed", "2026-03-15")]), ("cancelled", [])])
async def test_a_payment_can_fail(status: str, rows: list[tuple[str, str, str]]) -> None:
    """Processing says so, nothing is bought, and a refused card is in the books."""
    async with client_of() as client:
        await known(client)
        body = {"customerRef": CUSTOMER, "purpose": "credit_topup", "amount": 500}
        answer = await client.post("/v1/sdk/payment-intents", json=body, headers={"idempotency-key": "1"})
        intent = answer.json()["processorPaymentId"]
        path = f"/sandbox/payment-intents/{intent}"
        assert (await client.put(path, json={"status": status})).status_code == 200
        assert (await client.put(path, json={"status": status})).status_code == 409
        done = await client.post(f"/v1/sdk/payment-intents/{intent}/process", json=REFS)
        assert (done.json(), await balance(client)) == ({"status": status}, 0)
        assert await transactions(client) == rows
