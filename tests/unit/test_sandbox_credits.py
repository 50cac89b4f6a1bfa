"""Credits: given once per key, taken per unit, never below zero."""

from contextlib import closing
from typing import Any

import httpx
import pytest

from meter.sandbox.store import Store
from tests.sandboxes import (
    BULK,
    CUSTOMER,
    LIMITS,
    PRODUCT,
    USAGES,
    activate,
    balance,
    client_of,
    event,
    grant,
    known,
    plan_of,
    remaining,
)


async def on_credits(client: httpx.AsyncClient, credits_given: int, **plan: Any) -> str:
    """CUSTOMER on a plan of 100 credits a unit, with some credits; the plan's reference."""
    await known(client, free_units=None)
    reference = await plan_of(client, **{"type": "usage-based", "creditsPerUnit": 100, **plan})
    await activate(client, reference)
    if credits_given:
        await grant(client, credits_given)
    return reference


async def debit(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """What a usage cost."""
    answer = await client.post(USAGES, json=event(**fields))
    assert answer.status_code == 200
    cost: dict[str, Any] = answer.json()["creditDebit"]
    return cost


async def test_a_unit_costs_what_the_plan_says() -> None:
    """500 credits, 100 a unit: after one unit four are left, in the answer, the balance and the limits."""
    async with client_of() as client:
        await on_credits(client, 500)
        assert await debit(client) == {"debited": True, "amount": 100, "unitsRemaining": 4}
        assert await balance(client) == 400
        answer = (await client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})).json()
    credit = {"creditBalance": 400, "creditsPerUnit": 100, "currency": "USD"}
    assert (answer["withinLimits"], answer["remaining"]) == (True, 4)
    assert credit.items() <= answer.items()
    assert answer["balance"] == {**credit, "remainingUnits": 4}


async def test_a_repeat_costs_nothing() -> None:
    """The same key again: `duplicate`, and the balance stays."""
    async with client_of() as client:
        await on_credits(client, 500)
        await debit(client, idempotencyKey="k")
        assert await debit(client, idempotencyKey="k") == {"debited": False, "reason": "duplicate"}
        assert await balance(client) == 400


async def test_the_first_credits_wake_what_was_pending() -> None:
    """Blocked until a unit is covered; then usage is debited, without another activation."""
    async with client_of() as client:
        await known(client, free_units=10)
        await activate(client, await plan_of(client, type="usage-based", creditsPerUnit=100))
        assert await remaining(client) == 0
        assert await debit(client) == {"debited": False, "reason": "no_active_purchase"}
        await grant(client, 99)
        assert await remaining(client) == 0
        await grant(client, 201)
        assert await remaining(client) == 3
        assert await debit(client, units=2) == {"debited": True, "amount": 200, "unitsRemaining": 1}


async def test_credits_end_at_zero_and_usage_goes_on() -> None:
    """Beyond them events are recorded and take what is left; the limits say no."""
    async with client_of() as client:
        await on_credits(client, 250)
        assert await debit(client, units=3) == {"debited": True, "amount": 250, "unitsRemaining": 0}
        assert await debit(client) == {"debited": True, "amount": 0, "unitsRemaining": 0}
        assert (await balance(client), await remaining(client)) == (0, 0)
        assert (await client.get("/sandbox/totals")).json()["usages"] == 2
        await grant(client, 100)
        assert await remaining(client) == 1


async def test_a_batch_pays_event_by_event() -> None:
    """In request order, each from what the ones before have left; other outcomes and products pay nothing."""
    async with client_of() as client:
        await on_credits(client, 500)
        events = [
            event(units=2),
            event(outcome="fail"),
            event(productRef="prd_X"),
            event(units=2, idempotencyKey="k"),
            event(idempotencyKey="k"),
            event(units=2),
        ]
        results = (await client.post(BULK, json={"events": events})).json()["results"]
        costs = [result.get("creditDebit", {}).get("amount") for result in results]
        assert costs == [200, None, None, 200, None, 100]
        assert await balance(client) == 0


async def test_a_hybrid_plan_gives_first_and_takes_then() -> None:
    """Its allowance pays for the first units of the month, credits for the rest."""
    async with client_of() as client:
        await on_credits(client, 500, type="hybrid", limit=3)
        assert await remaining(client) == 8
        results = (await client.post(BULK, json={"events": [event(units=2), event(units=2)]})).json()["results"]
        assert [result["creditDebit"]["amount"] for result in results] == [0, 100]
        assert (await debit(client))["amount"] == 100
        assert (await remaining(client), await balance(client)) == (3, 300)


async def test_what_is_billed_afterwards_takes_no_credits() -> None:
    """A post-paid plan with a price per unit is not credit based."""
    async with client_of() as client:
        await on_credits(client, 500, billingModel="post-paid")
        assert await debit(client) == {"debited": False, "reason": "plan_not_credit_based"}
        assert await remaining(client) == 999_999


async def test_a_grant_is_given_once_per_key() -> None:
    """A repeat gets the very same answer, whatever happened since; without a key every grant counts."""
    async with client_of() as client:
        await on_credits(client, 0)
        first = await grant(client, 500, key="g")
        assert first == {"success": True, "customerRef": CUSTOMER, "credits": 500, "balance": 500, "reason": "test"}
        await grant(client, 100)
        assert await grant(client, 500, key="g") == first
        assert await balance(client) == 600


@pytest.mark.parametrize("body", [{}, {"credits": 0}, {"credits": 1.5}, {"credits": "1"}, {"credits": 1, "reason": 1}])
async def test_a_grant_is_a_positive_whole_number(body: dict[str, Any]) -> None:
    """Anything else is a failed validation, and nothing is given."""
    async with client_of() as client:
        await known(client)
        answer = await client.post(f"/v1/sdk/customers/{CUSTOMER}/credits", json=body)
        assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
        assert await balance(client) == 0


@pytest.mark.parametrize(("method", "name"), [("GET", "balance"), ("POST", "credits")])
async def test_who_does_not_exist_has_no_credits(method: str, name: str) -> None:
    """404 that names the reference."""
    async with client_of() as client:
        answer = await client.request(method, f"/v1/sdk/customers/cus_X/{name}")
    assert (answer.status_code, answer.json()["message"]) == (404, "Customer with reference cus_X not found")


async def test_the_balance_is_shown_in_money_too() -> None:
    """A hundred credits are a cent."""
    async with client_of() as client:
        await on_credits(client, 1_234_500)
        answer = (await client.get(f"/v1/sdk/customers/{CUSTOMER}/balance")).json()
    assert (answer["customerRef"], answer["creditsPerMinorUnit"], answer["displayCurrency"]) == (CUSTOMER, 100, "USD")
    assert (answer["display"]["amountMajor"], answer["display"]["formatted"]) == (123.45, "$123.45")


async def test_credits_survive_a_restart_and_not_a_reset() -> None:
    """Balance and keys are in the store."""
    with closing(Store()) as store:
        async with client_of(store) as client:
            await on_credits(client, 0)
            first = await grant(client, 500, key="g")
            await debit(client)
        async with client_of(store) as client:
            assert (await balance(client), await grant(client, 1, key="g")) == (400, first)
            await client.post("/sandbox/reset")
            await known(client)
            assert await balance(client) == 0
