"""Purchases over REST: how they begin, what they show, how they end."""

from contextlib import closing
from typing import Any

import httpx

from meter.sandbox.store import Store
from tests.sandboxes import (
    CUSTOMER,
    PRODUCT,
    USAGES,
    FixedClock,
    activate,
    bought,
    client_of,
    event,
    known,
    plan_of,
    remaining,
)

PURCHASES = "/v1/sdk/purchases"
DAY = 86400


async def purchases(client: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    """What the list answers."""
    answer = await client.get(PURCHASES, params=query)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["purchases"]
    return found


async def reason(client: httpx.AsyncClient) -> str:
    """Why a unit of CUSTOMER and PRODUCT is not debited now."""
    answer = await client.post(USAGES, json=event())
    return str(answer.json()["creditDebit"]["reason"])


async def test_the_first_limits_call_enrols_on_the_free_plan() -> None:
    """One purchase, active, with the plan as it stood and what was used of it."""
    async with client_of() as client:
        await known(client, free_units=10)
        assert await purchases(client) == []
        await remaining(client)
        await client.post(USAGES, json=event(units=12))
        (purchase,) = await purchases(client)
    assert purchase["reference"].startswith("pur_")
    assert (purchase["customerRef"], purchase["customerEmail"]) == (CUSTOMER, f"{CUSTOMER}@example.com")
    assert (purchase["productRef"], purchase["productName"]) == (PRODUCT, PRODUCT)
    assert (purchase["status"], purchase["amount"], purchase["currency"]) == ("active", 0, "USD")
    assert purchase["startDate"] == purchase["createdAt"] == "2026-03-15T12:00:00.000Z"
    assert purchase["planSnapshot"]["freeUnits"] == 10
    assert purchase["usage"] == {
        "used": 12,
        "overageUnits": 2,
        "overageCost": 0,
        "periodStart": "2026-03-01T00:00:00.000Z",
        "periodEnd": "2026-04-01T00:00:00.000Z",
    }


async def test_a_paid_purchase_renews_month_by_month() -> None:
    """Bought on the 15th, the next bill is on the 15th, whichever month it is."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client)
        plan = await plan_of(client, price=4900, billingCycle="monthly", limit=1000)
        path = f"{PURCHASES}/{await bought(client, plan)}"
        purchase = (await client.get(path)).json()
        assert (purchase["amount"], purchase["autoRenew"], purchase["isRecurring"]) == (4900, True, True)
        assert purchase["nextBillingDate"] == "2026-04-15T12:00:00.000Z"
        assert purchase["planSnapshot"]["planType"] == "recurring"
        assert await remaining(client) == 1000
        clock.now += 40 * DAY
        purchase = (await client.get(path)).json()
        assert (purchase["status"], purchase["nextBillingDate"]) == ("active", "2026-05-15T12:00:00.000Z")


async def test_cancelling_keeps_access_to_the_end_of_the_period() -> None:
    """Active with `cancelledAt` until then, expired afterwards; the free plan takes over."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=10)
        plan = await plan_of(client, price=4900, billingCycle="monthly", limit=1000)
        path = f"{PURCHASES}/{await bought(client, plan)}"
        answer = await client.post(f"{path}/cancel", json={"reason": "Customer requested downgrade"})
        purchase = answer.json()["purchase"]
        assert (answer.status_code, answer.json()["success"]) == (200, True)
        assert (purchase["status"], purchase["autoRenew"]) == ("active", False)
        assert purchase["cancellationReason"] == "Customer requested downgrade"
        assert (purchase["cancelledAt"], purchase["endDate"]) == (purchase["startDate"], "2026-04-15T12:00:00.000Z")
        assert "nextBillingDate" not in purchase
        clock.now += 31 * DAY - 1
        assert (await remaining(client), await reason(client)) == (1000, "plan_not_credit_based")
        clock.now += 1
        assert (await client.get(path)).json()["status"] == "expired"
        assert await reason(client) == "no_active_purchase"
        assert await remaining(client) == 8


async def test_a_cancellation_can_be_undone_until_it_takes_effect() -> None:
    """Active again as before; not after the end, and not without a cancellation."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client)
        path = f"{PURCHASES}/{await bought(client, await plan_of(client, price=4900))}"
        before = (await client.get(path)).json()
        assert (await client.post(f"{path}/reactivate")).status_code == 400
        await client.post(f"{path}/cancel")
        answer = await client.post(f"{path}/reactivate")
        assert (answer.status_code, answer.json()) == (200, {"success": True, "purchase": before})
        await client.post(f"{path}/cancel")
        clock.now += 31 * DAY
        refused = await client.post(f"{path}/reactivate")
        assert (refused.status_code, "cannot be reactivated" in refused.json()["message"]) == (400, True)


async def test_what_does_not_recur_is_cancelled_at_once() -> None:
    """And only once."""
    async with client_of() as client:
        await known(client, free_units=None)
        purchase = await bought(client, await plan_of(client, price=900, type="one-time"))
        path = f"{PURCHASES}/{purchase}"
        assert await remaining(client) == 999_999
        assert (await client.post(f"{path}/cancel")).json()["purchase"]["status"] == "cancelled"
        again = await client.post(f"{path}/cancel")
        words = f"Purchase {purchase} cannot be cancelled: it is cancelled already"
        assert (again.status_code, again.json()["message"]) == (400, words)
        assert await remaining(client) == 0


async def test_one_time_access_ends_when_it_says() -> None:
    """`accessExpiryDays` after the purchase."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=None)
        await bought(client, await plan_of(client, price=900, type="one-time", accessExpiryDays=2))
        clock.now += 2 * DAY - 1
        assert await remaining(client) == 999_999
        clock.now += 1
        assert await remaining(client) == 0


async def test_another_plan_takes_the_place_of_the_one_before() -> None:
    """The earlier purchase expires and stays in the list; the snapshot of each is its own."""
    async with client_of() as client:
        await known(client, free_units=10)
        await remaining(client)
        plan = await plan_of(client, limit=20)
        assert (await activate(client, plan))["status"] == "activated"
        first, second = await purchases(client)
        assert (first["status"], first["endDate"], second["status"]) == ("expired", first["createdAt"], "active")
        assert second["planRef"] == plan
        assert await remaining(client) == 20
        await client.put(f"/v1/sdk/products/{PRODUCT}/plans/{plan}", json={"limit": 5, "name": "Other"})
        assert await remaining(client) == 20
        assert (await purchases(client, status="active"))[0]["planSnapshot"]["name"] == "Plan"


async def test_the_list_is_filtered() -> None:
    """By status, product, customer and whether anything is paid."""
    async with client_of() as client:
        await known(client)
        await remaining(client)
        paid = await bought(client, await plan_of(client, price=4900))
        assert len(await purchases(client)) == 2
        assert [each["reference"] for each in await purchases(client, status="active")] == [paid]
        assert [each["reference"] for each in await purchases(client, includeFree="false")] == [paid]
        assert len(await purchases(client, customerRef=CUSTOMER, productRef=PRODUCT)) == 2
        assert await purchases(client, customerRef="cus_X") == await purchases(client, productRef="prd_X") == []


async def test_purchases_are_found_from_both_sides() -> None:
    """By customer and by product, the same; unknown ones are a 404 that names them."""
    async with client_of() as client:
        await known(client)
        await remaining(client)
        by_customer = (await client.get(f"{PURCHASES}/customer/{CUSTOMER}")).json()
        assert by_customer == (await client.get(f"{PURCHASES}/product/{PRODUCT}")).json()
        assert len(by_customer["purchases"]) == 1
        for path, word in (("customer/x", "Customer"), ("product/x", "Product"), ("x", "Purchase")):
            answer = await client.get(f"{PURCHASES}/{path}")
            assert (answer.status_code, answer.json()["message"]) == (404, f"{word} with reference x not found")


async def test_purchases_survive_a_restart() -> None:
    """The same list, and the same one in force."""
    with closing(Store()) as store:
        async with client_of(store) as client:
            await known(client, free_units=10)
            await remaining(client)
            await bought(client, await plan_of(client, price=4900, limit=70))
            before = await purchases(client)
        async with client_of(store) as client:
            assert await purchases(client) == before
            assert await remaining(client) == 70
