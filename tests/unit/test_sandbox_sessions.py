"""Sessions: links for a quarter of an hour, and what comes of a checkout."""

from typing import Any

import httpx
import pytest

from tests.sandboxes import (
    CUSTOMER,
    LIMITS,
    PRODUCT,
    FixedClock,
    activate,
    balance,
    client_of,
    known,
    plan_of,
    remaining,
)

REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}
CHECKOUTS, SESSIONS = "/v1/sdk/checkout-sessions", "/v1/sdk/customers/customer-sessions"


async def pay(client: httpx.AsyncClient, session: str, **body: Any) -> httpx.Response:
    """Complete a checkout."""
    return await client.post(f"/sandbox/checkout-sessions/{session}", json=body)


async def test_a_paid_checkout_is_a_purchase() -> None:
    """Once: the customer is on the plan that was asked for, and the session is used up."""
    async with client_of() as client:
        await known(client, free_units=10)
        plan = await plan_of(client, price=4900, limit=70)
        opened = await client.post(CHECKOUTS, json={**REFS, "planRef": plan})
        assert opened.status_code == 201
        session = opened.json()["sessionId"]
        assert (len(session), opened.json()["checkoutUrl"].endswith(f"/customer/checkout?id={session}")) == (32, True)
        assert await remaining(client) == 10
        bought = (await pay(client, session)).json()["purchaseRef"]
        assert await remaining(client) == 70
        purchase = (await client.get(f"/v1/sdk/purchases/{bought}")).json()
        assert (purchase["status"], purchase["paidAt"]) == ("active", "2026-03-15T12:00:00.000Z")
        assert (await pay(client, session)).status_code == 410


async def test_a_paid_topup_wakes_what_was_pending() -> None:
    """The way out of `topup_required`: pay at the link that came with it."""
    async with client_of() as client:
        await known(client, free_units=10)
        plan = await plan_of(client, type="usage-based", creditsPerUnit=100)
        session = (await activate(client, plan))["checkoutSessionId"]
        assert (await pay(client, session, credits=300)).json() == {"success": True, "balance": 300}
        assert (await balance(client), await remaining(client)) == (300, 3)


async def test_a_session_lives_for_fifteen_minutes() -> None:
    """Then nobody can pay at it, and a customer's is shown as expired."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client)
        checkout = (await client.post(CHECKOUTS, json=REFS)).json()["sessionId"]
        opened = await client.post(SESSIONS, json=REFS)
        assert opened.status_code == 201
        path = f"{SESSIONS}/{opened.json()['sessionId']}"
        clock.now += 899
        shown = (await client.get(path)).json()
        assert (shown["status"], shown["expiresAt"]) == ("active", "2026-03-15T12:15:00.000Z")
        assert (shown["customer"]["reference"], shown["customerUrl"]) == (CUSTOMER, opened.json()["customerUrl"])
        clock.now += 1
        assert (await client.get(path)).json()["status"] == "expired"
        assert (await pay(client, checkout)).status_code == 410


async def test_who_is_blocked_gets_a_checkout_if_asked_for() -> None:
    """Polling mints no sessions, and who may go on needs none."""
    async with client_of() as client:
        await known(client, free_units=None)
        assert "checkoutUrl" not in (await client.post(LIMITS, json=REFS)).json()
        asked = {**REFS, "includeCheckoutSession": True}
        assert "checkoutUrl" in (await client.post(LIMITS, json=asked)).json()
        await client.post("/sandbox/products", json={"reference": PRODUCT, "plan": {"freeUnits": 1}})
        assert "checkoutUrl" not in (await client.post(LIMITS, json=asked)).json()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHECKOUTS, {"customerRef": CUSTOMER}, 400),
        (CHECKOUTS, {"productRef": PRODUCT}, 400),
        (CHECKOUTS, {"customerRef": CUSTOMER, "purpose": "credit_topup"}, 201),
        (CHECKOUTS, {**REFS, "customerRef": "x"}, 404),
        (CHECKOUTS, {**REFS, "productRef": "x"}, 404),
        (CHECKOUTS, {**REFS, "planRef": "x"}, 404),
        (SESSIONS, {}, 400),
        (SESSIONS, {"customerRef": "x"}, 404),
    ],
)
async def test_a_session_is_for_somebody_and_something(path: str, body: dict[str, str], status: int) -> None:
    """Missing references are a 400, unknown ones a 404."""
    async with client_of() as client:
        await known(client)
        assert (await client.post(path, json=body)).status_code == status


async def test_unknown_sessions_are_not_found() -> None:
    """In the documented words; a checkout's is no customer's."""
    async with client_of() as client:
        await known(client)
        checkout = (await client.post(CHECKOUTS, json=REFS)).json()["sessionId"]
        for session in ("x", checkout):
            answer = await client.get(f"{SESSIONS}/{session}")
            assert (answer.status_code, answer.json()["message"]) == (404, f"Customer session not found: {session}")
        assert (await pay(client, "x")).status_code == 404
