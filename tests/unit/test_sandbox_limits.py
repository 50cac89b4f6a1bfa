"""The allowance of a free plan counts down, month by month."""

from typing import Any

import pytest

from tests.sandboxes import BULK, CUSTOMER, LIMITS, PRODUCT, USAGES, FixedClock, client_of, event, known, remaining


async def test_successful_units_count_down_at_once() -> None:
    """Ten free units, three used: seven left, in the very next answer."""
    async with client_of() as client:
        await known(client, free_units=10)
        assert await remaining(client) == 10
        await client.post(BULK, json={"events": [event(units=1), event(units=2)]})
        assert await remaining(client) == 7


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "fail"},
        {"outcome": "paywall"},
        {"productRef": "prd_other"},
        {"customerRef": "cus_other"},
        {"timestamp": "2026-02-28T23:59:59Z"},
        {"units": 0},
    ],
)
async def test_what_does_not_count(fields: dict[str, Any]) -> None:
    """Other outcomes, other products, other customers and other months leave the allowance alone."""
    async with client_of() as client:
        await known(client, free_units=10)
        await client.post(USAGES, json=event(**fields))
        assert await remaining(client) == 10


async def test_a_repeat_counts_once() -> None:
    """A duplicate takes nothing from the allowance."""
    async with client_of() as client:
        await known(client, free_units=10)
        for _ in range(2):
            await client.post(USAGES, json=event(idempotencyKey="k", units=4))
        assert await remaining(client) == 6


async def test_used_up_means_not_within_limits() -> None:
    """At the limit and beyond it the answer is 200, no and zero."""
    async with client_of() as client:
        await known(client, free_units=10)
        await client.post(USAGES, json=event(units=25))
        answer = (await client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})).json()
    assert (answer["withinLimits"], answer["remaining"]) == (False, 0)


async def test_a_new_month_starts_afresh() -> None:
    """The period is the calendar month in UTC; events count in the month of their own timestamp."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=10)
        await client.post(USAGES, json=event(units=4))
        clock.now += 20 * 86400
        assert await remaining(client) == 10
        await client.post(USAGES, json=event(units=1, timestamp="2026-03-31T23:59:59.999Z"))
        assert await remaining(client) == 10


@pytest.mark.parametrize("plan", [{"freeUnits": 0}, {}, {"limit": 0}])
async def test_no_bound_is_shown_as_999999(plan: dict[str, Any]) -> None:
    """Zero free units on a free plan mean unlimited; the figure is not counted down."""
    async with client_of() as client:
        await known(client, free_units=None)
        await client.post("/sandbox/products", json={"reference": PRODUCT, "plan": plan})
        await client.post(USAGES, json=event(units=5))
        assert await remaining(client) == 999_999


@pytest.mark.parametrize("missing", ["customerRef", "productRef"])
async def test_who_does_not_exist_has_no_limits(missing: str) -> None:
    """An unknown customer or product is a 404 in the documented words."""
    async with client_of() as client:
        await known(client)
        answer = await client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT, missing: "x_nobody"})
    assert answer.status_code == 404
    assert answer.json() == {"statusCode": 404, "message": "Customer or product not found", "error": "Not Found"}


@pytest.mark.parametrize("body", [{}, {"customerRef": CUSTOMER}, {"customerRef": "", "productRef": PRODUCT}])
async def test_both_references_are_required(body: dict[str, Any]) -> None:
    """Missing or empty references are a failed validation."""
    async with client_of() as client:
        answer = await client.post(LIMITS, json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")


async def test_without_a_plan_nobody_may_go_on() -> None:
    """No plan is an answer, not an error."""
    async with client_of() as client:
        await known(client, free_units=None)
        answer = (await client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})).json()
    assert (answer["withinLimits"], answer["remaining"], answer["plans"]) == (False, 0, [])


async def test_a_priced_default_plan_wants_activation() -> None:
    """Nobody is put on a plan that costs money without being asked."""
    async with client_of() as client:
        await known(client, free_units=None)
        plan = {"name": "Pay", "type": "usage-based", "creditsPerUnit": 10}
        await client.post(f"/v1/sdk/products/{PRODUCT}/plans", json=plan)
        answer = (await client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})).json()
    assert (answer["withinLimits"], answer["remaining"], answer["activationRequired"]) == (False, 0, True)
    assert answer["plans"][0]["requiresPayment"] is True


async def test_a_running_purchase_keeps_its_plan_as_it_was() -> None:
    """Editing a plan does not change what a customer is already on."""
    async with client_of() as client:
        await known(client, free_units=10)
        assert await remaining(client) == 10
        await known(client, free_units=50)
        assert await remaining(client) == 10


async def test_the_meter_has_a_name() -> None:
    """`meterName` wins over its older name; `requests` is what there is otherwise."""
    refs = {"customerRef": CUSTOMER, "productRef": PRODUCT}
    async with client_of() as client:
        await known(client)
        bodies = [refs, {**refs, "usageType": "a"}, {**refs, "usageType": "a", "meterName": "b", "planRef": 5}]
        names = [(await client.post(LIMITS, json=body)).json()["meterName"] for body in bodies]
    assert names == ["requests", "a", "b"]
