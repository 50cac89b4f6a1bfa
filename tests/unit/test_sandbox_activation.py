"""`/activate`: what it takes to be on a plan."""

import pytest

from tests.sandboxes import CUSTOMER, PRODUCT, activate, bought, client_of, known, plan_of, remaining


async def test_a_free_plan_is_activated_at_once() -> None:
    """Then it is active already."""
    async with client_of() as client:
        await known(client)
        plan = await plan_of(client, limit=20)
        first = await activate(client, plan)
        assert first["status"] == "activated"
        assert await activate(client, plan) == {"status": "already_active", "purchaseRef": first["purchaseRef"]}


async def test_a_price_must_be_paid() -> None:
    """Nothing changes until it is."""
    async with client_of() as client:
        await known(client, free_units=10)
        plan = await plan_of(client, price=4900)
        assert (await activate(client, plan))["status"] == "payment_required"
        assert await remaining(client) == 10
        await bought(client, plan)
        assert (await activate(client, plan))["status"] == "already_active"


async def test_a_plan_on_credits_waits_for_them() -> None:
    """Without credits it is pending: the customer is blocked, although the default plan would be free."""
    async with client_of() as client:
        await known(client, free_units=10)
        plan = await plan_of(client, type="usage-based", creditsPerUnit=100)
        for _ in "12":
            answer = await activate(client, plan)
            assert answer["status"] == "topup_required"
            assert (answer["creditBalance"], answer["creditsPerUnit"], answer["currency"]) == (0, 100, "USD")
        (purchase,) = (await client.get("/v1/sdk/purchases")).json()["purchases"]
        assert purchase["status"] == "pending"
        assert await remaining(client) == 0


async def test_what_was_paid_for_is_not_given_up_for_what_waits() -> None:
    """A customer on a priced plan keeps it while the new one still wants credits."""
    async with client_of() as client:
        await known(client)
        await bought(client, await plan_of(client, price=4900, limit=70))
        plan = await plan_of(client, type="usage-based", creditsPerUnit=100)
        assert (await activate(client, plan))["status"] == "topup_required"
        assert await remaining(client) == 70


async def test_only_active_plans_of_the_product_can_be_had() -> None:
    """Others are `invalid`, with a sentence."""
    async with client_of() as client:
        await known(client)
        plan = await plan_of(client, status="archived")
        for reference in (plan, "pln_X"):
            answer = await activate(client, reference)
            assert answer["status"] == "invalid"
            assert reference in answer["message"]


@pytest.mark.parametrize(("name", "word"), [("customerRef", "Customer"), ("productRef", "Product")])
async def test_who_does_not_exist_cannot_be_activated(name: str, word: str) -> None:
    """404 that names the reference; all three are required."""
    async with client_of() as client:
        await known(client)
        body = {"customerRef": CUSTOMER, "productRef": PRODUCT, "planRef": "pln_X"}
        answer = await client.post("/v1/sdk/activate", json={**body, name: "x"})
        assert (answer.status_code, answer.json()["message"]) == (404, f"{word} with reference x not found")
        assert (await client.post("/v1/sdk/activate", json={**body, name: ""})).status_code == 400
