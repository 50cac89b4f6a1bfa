"""Payment intents: announced once per key, processed once, and what was paid for is there."""

from contextlib import closing
from typing import Any

import httpx
import pytest

from meter.sandbox.store import Store
from tests.sandboxes import CUSTOMER, PRODUCT, FixedClock, activate, balance, client_of, known, plan_of, remaining

INTENTS = "/v1/sdk/payment-intents"
REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}
TOPUP: dict[str, Any] = {"customerRef": CUSTOMER, "purpose": "credit_topup", "amount": 500}


async def announce(client: httpx.AsyncClient, key: str = "order-1", **body: Any) -> httpx.Response:
    """The answer to a new payment."""
    return await client.post(INTENTS, json=body, headers={"idempotency-key": key} if key else {})


async def process(client: httpx.AsyncClient, intent: str, **body: Any) -> httpx.Response:
    """The answer to its confirmation."""
    return await client.post(f"{INTENTS}/{intent}/process", json={**REFS, **body})


async def test_a_paid_plan_begins() -> None:
    """Announced it changes nothing; processed it is a purchase, and processed again it is still that one."""
    async with client_of() as client:
        await known(client, free_units=10)
        plan = await plan_of(client, price=4900, limit=70, billingCycle="monthly")
        answer = await announce(client, **REFS, planRef=plan)
        shown = answer.json()
        assert (answer.status_code, shown["status"], shown["amount"]) == (201, "requires_payment_method", 4900)
        assert (shown["currency"], shown["publishableKey"]) == ("usd", "pk_test_none")
        assert shown["expiresAt"] == "2026-03-16T12:00:00.000Z"
        assert await remaining(client) == 10
        for _ in "12":
            done = await process(client, shown["processorPaymentId"])
            assert (done.status_code, done.json()) == (200, {"status": "succeeded"})
        assert await remaining(client) == 70
        (purchase,) = (await client.get("/v1/sdk/purchases", params={"status": "active"})).json()["purchases"]
        assert (purchase["planRef"], purchase["paidAt"]) == (plan, "2026-03-15T12:00:00.000Z")


async def test_a_paid_topup_is_credits() -> None:
    """A hundred for each cent; what waited for them is active."""
    async with client_of() as client:
        await known(client, free_units=None)
        await activate(client, await plan_of(client, type="usage-based", creditsPerUnit=100))
        intent = (await announce(client, **TOPUP)).json()["processorPaymentId"]
        assert (await process(client, intent)).json() == {"status": "succeeded"}
        assert (await balance(client), await remaining(client)) == (50_000, 500)


async def test_what_is_processed_is_in_the_books() -> None:
    """A plan, credits and usage alike are a transaction each, once; what is only announced is none."""
    async with client_of() as client:
        await known(client)
        plan = await plan_of(client, price=4900)
        bodies = [{**REFS, "planRef": plan}, {**TOPUP, **REFS}, {**TOPUP, **REFS, "purpose": "usage_billing"}]
        for key, body in enumerate(bodies):
            intent = (await announce(client, str(key), **body)).json()["processorPaymentId"]
            for _ in "12":
                assert (await process(client, intent)).json() == {"status": "succeeded"}
        await announce(client, **TOPUP)
        product = (await client.get(f"/v1/sdk/products/{PRODUCT}")).json()
        assert (product["totalTransactions"], product["balance"]) == (3, 4900 + 500 + 500)
        assert await balance(client) == 50_000


async def test_a_key_announces_once() -> None:
    """A repeat gets the first intent, whatever it asks for; without a key nothing is announced."""
    async with client_of() as client:
        await known(client)
        answer = await announce(client, key="", **TOPUP)
        assert (answer.status_code, answer.json()["message"]) == (400, "idempotency-key header is required")
        first = (await announce(client, **TOPUP)).json()
        assert (await announce(client, **{**TOPUP, "amount": 900})).json() == first
        second = (await announce(client, key="order-2", **TOPUP)).json()
        listed = (await client.get(INTENTS)).json()
        assert [each["processorPaymentId"] for each in listed["paymentIntents"]] == [
            second["processorPaymentId"],
            first["processorPaymentId"],
        ]
        assert listed["total"] == 2
        page = (await client.get(INTENTS, params={"limit": 1, "offset": 1})).json()["paymentIntents"]
        assert page[0]["processorPaymentId"] == first["processorPaymentId"]


async def test_an_unknown_intent_has_a_404_of_its_own() -> None:
    """Unlike every other body of the provider."""
    expected = {"success": False, "error": "Payment intent not found", "code": "PAYMENT_INTENT_NOT_FOUND"}
    async with client_of() as client:
        await known(client)
        for answer in (await client.get(f"{INTENTS}/pi_x"), await process(client, "pi_x")):
            assert (answer.status_code, answer.json()) == (404, expected)


async def test_what_is_not_paid_within_a_day_is_cancelled() -> None:
    """And can be paid no more."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client)
        intent = (await announce(client, **TOPUP)).json()["processorPaymentId"]
        clock.now += 86400
        assert (await process(client, intent)).json() == {"status": "cancelled"}
        assert (await client.get(f"{INTENTS}/{intent}")).json()["status"] == "cancelled"
        assert await balance(client) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({**REFS, "planRef": ""}, 400),
        (REFS, 400),
        ({**TOPUP, "amount": 99}, 400),
        ({**TOPUP, "amount": 10_000_001}, 400),
        ({**TOPUP, "amount": "500"}, 400),
        ({**TOPUP, "purpose": "gift"}, 400),
        ({**TOPUP, "currency": "EUR"}, 400),
        ({**TOPUP, "description": "x" * 501}, 400),
        ({**TOPUP, "customerRef": "cus_x"}, 404),
        ({**TOPUP, "productRef": "prd_x"}, 404),
        ({**REFS, "planRef": "pln_x"}, 404),
        ({**REFS, "planRef": "<free>"}, 400),
    ],
)
async def test_what_cannot_be_paid_is_not_announced(body: dict[str, Any], status: int) -> None:
    """A refused announcement leaves nothing, and its key can still be used."""
    async with client_of() as client:
        await known(client)
        free = (await client.get(f"/v1/sdk/products/{PRODUCT}/plans")).json()["plans"][0]["reference"]
        sent = {name: free if value == "<free>" else value for name, value in body.items()}
        assert (await announce(client, **sent)).status_code == status
        assert (await client.get(INTENTS)).json()["paymentIntents"] == []
        assert (await announce(client, **TOPUP)).status_code == 201


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"customerRef": ""}, 400),
        ({"productRef": 5}, 400),
        ({"customerRef": "cus_2"}, 400),
        ({"productRef": "prd_2"}, 400),
        ({"planRef": "pln_2"}, 400),
        ({"customerRef": "cus_x"}, 404),
    ],
)
async def test_only_who_knows_the_payment_processes_it(body: dict[str, Any], status: int) -> None:
    """Another customer, product or plan is refused, and nothing is paid."""
    async with client_of() as client:
        await known(client, free_units=10)
        await client.post("/sandbox/customers", json={"reference": "cus_2"})
        plan = await plan_of(client, price=4900, limit=70)
        intent = (await announce(client, **REFS, planRef=plan)).json()["processorPaymentId"]
        assert (await process(client, intent, **body)).status_code == status
        assert (await client.get(f"{INTENTS}/{intent}")).json()["status"] == "requires_payment_method"
        assert await remaining(client) == 10


async def test_intents_survive_a_restart() -> None:
    """With their keys."""
    with closing(Store()) as store:
        async with client_of(store) as client:
            await known(client)
            first = (await announce(client, **TOPUP)).json()
        async with client_of(store) as client:
            assert (await announce(client, **TOPUP)).json() == first
            assert (await process(client, first["processorPaymentId"])).json() == {"status": "succeeded"}
            assert await balance(client) == 50_000
