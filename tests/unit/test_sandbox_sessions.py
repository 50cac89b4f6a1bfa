"""Sessions: links for a quarter of an hour, and what comes of a checkout."""

from contextlib import closing
from typing import Any

import httpx
import pytest

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import SANDBOX, Call
from meter.sandbox.sales.purchases import Purchases
from meter.sandbox.sales.sessions import LIFE_SECONDS, REMEMBERED_SECONDS, Sessions
from meter.sandbox.store import Store
from tests.sandboxes import (
    CUSTOMER,
    LIMITS,
    NOW,
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
        again = await pay(client, session)
        assert (again.status_code, again.json()["message"]) == (410, f"Session {session} is used")


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
        late = await pay(client, checkout)
        assert (late.status_code, late.json()["message"]) == (410, f"Session {checkout} is expired")


async def test_who_is_blocked_gets_a_checkout_if_asked_for() -> None:
    """Polling mints no sessions, and who may go on needs none."""
    async with client_of() as client:
        await known(client, free_units=None)
        assert "checkoutUrl" not in (await client.post(LIMITS, json=REFS)).json()
        asked = {**REFS, "includeCheckoutSession": True}
        assert "checkoutUrl" in (await client.post(LIMITS, json=asked)).json()
        await client.post("/sandbox/products", json={"reference": PRODUCT, "plan": {"freeUnits": 1}})
        assert "checkoutUrl" not in (await client.post(LIMITS, json=asked)).json()


async def test_a_session_is_forgotten_an_hour_after_its_end() -> None:
    """From memory and file alike; until then it is shown as expired."""
    clock = FixedClock()
    with closing(Store()) as store:
        async with client_of(store, clock=clock) as client:
            await known(client)
            path = f"{SESSIONS}/{(await client.post(SESSIONS, json=REFS)).json()['sessionId']}"
            clock.now += LIFE_SECONDS + REMEMBERED_SECONDS
            await client.post(SESSIONS, json=REFS)
            assert (await client.get(path)).json()["status"] == "expired"
            clock.now += 61
            kept = (await client.post(SESSIONS, json=REFS)).json()["sessionId"]
            assert (await client.get(path)).status_code == 404
            assert (await client.get(f"{SESSIONS}/{kept}")).json()["status"] == "active"
        assert len(store.objects("Session")) == 2


def test_who_asks_and_asks_fills_no_memory() -> None:
    """Beyond so many sessions the oldest are forgotten, alive or not."""
    with closing(Store()) as store:
        catalogue = Catalogue(store)
        sessions = Sessions(catalogue, Purchases(store, catalogue), max_sessions=3)
        call = Call(SANDBOX, LIMITS, b"", NOW)
        opened = [sessions.open(call, "checkout", CUSTOMER, PRODUCT).reference for _ in range(5)]
        assert list(catalogue[SANDBOX].sessions) == opened[-3:]
        catalogue.reload()
        assert list(catalogue[SANDBOX].sessions) == opened[-3:]


async def test_a_customer_session_shows_what_is_in_force() -> None:
    """The customer's purchases, with what the plan was at the time."""
    async with client_of() as client:
        await known(client, free_units=10)
        opened = (await client.post(SESSIONS, json=REFS)).json()
        path = f"{SESSIONS}/{opened['sessionId']}"
        assert (await client.get(path)).json()["customer"]["purchases"] == []
        await remaining(client)
        (purchase,) = (await client.get(path)).json()["customer"]["purchases"]
        assert (purchase["productRef"], purchase["status"]) == (PRODUCT, "active")
        assert purchase["planSnapshot"]["freeUnits"] == 10


async def test_what_needs_activation_has_a_link_for_it() -> None:
    """Polling gets the same link while it lives, a new one afterwards, and none once the plan is active."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client, free_units=None)
        plan = await plan_of(client, type="usage-based", creditsPerUnit=10, default=True)
        first = (await client.post(LIMITS, json=REFS)).json()
        assert first["activationRequired"] is True
        assert "/customer/manage?id=" in first["confirmationUrl"]
        assert (await client.get(first["confirmationUrl"])).status_code == 200
        assert (await client.post(LIMITS, json=REFS)).json()["confirmationUrl"] == first["confirmationUrl"]
        clock.now += LIFE_SECONDS
        later = (await client.post(LIMITS, json=REFS)).json()["confirmationUrl"]
        assert later != first["confirmationUrl"]
        await activate(client, plan)
        answer = (await client.post(LIMITS, json=REFS)).json()
        assert "confirmationUrl" not in answer
        assert "activationRequired" not in answer


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
