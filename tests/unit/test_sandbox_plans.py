"""Plans over REST: every verb, every type, and who may be the default."""

from typing import Any

import httpx
import pytest

from tests.sandboxes import client_of, remaining

PRODUCTS = "/v1/sdk/products"


async def plans_path(client: httpx.AsyncClient) -> str:
    """The plans of a new product."""
    product = (await client.post(PRODUCTS, json={"name": "support-bot"})).json()["reference"]
    return f"{PRODUCTS}/{product}/plans"


@pytest.mark.parametrize(
    ("kind", "fields", "pays"),
    [
        ("recurring", {"price": 4900, "billingCycle": "monthly", "freeUnits": 3}, True),
        ("recurring", {"freeUnits": 100}, False),
        ("usage-based", {"creditsPerUnit": 10, "billingModel": "pre-paid"}, True),
        ("usage-based", {}, False),
        ("one-time", {"basePrice": 900, "accessExpiryDays": 30}, True),
        ("hybrid", {"price": 100, "limit": 50, "creditsPerUnit": 2}, True),
    ],
)
async def test_every_type_is_kept_as_sent(kind: str, fields: dict[str, Any], *, pays: bool) -> None:
    """201 with the plan, the same when it is asked for again; whether it costs anything is the server's word."""
    async with client_of() as client:
        path = await plans_path(client)
        created = await client.post(path, json={"name": "P", "type": kind, **fields, "features": {"a": 1}})
        assert created.status_code == 201
        plan = created.json()
        sent = {"price" if name == "basePrice" else name: value for name, value in fields.items()}
        assert sent.items() <= plan.items()
        assert (plan["type"], plan["requiresPayment"], plan["isActive"], plan["features"]) == (
            kind,
            pays,
            True,
            {"a": 1},
        )
        assert (await client.get(f"{path}/{plan['reference']}")).json() == plan
        assert (await client.get(path)).json() == {"plans": [plan], "total": 1, "limit": 50, "offset": 0}


async def test_free_units_of_a_usage_based_plan_come_later() -> None:
    """They are zero on create, whatever was sent, and a change sets them."""
    async with client_of() as client:
        path = await plans_path(client)
        plan = (await client.post(path, json={"name": "P", "type": "usage-based", "freeUnits": 100})).json()
        assert plan["freeUnits"] == 0
        changed = await client.put(f"{path}/{plan['reference']}", json={"freeUnits": 100})
        assert (changed.status_code, changed.json()["freeUnits"]) == (200, 100)


async def test_a_change_touches_what_it_names() -> None:
    """Other fields stay, and the type always does."""
    async with client_of() as client:
        path = await plans_path(client)
        plan = (await client.post(path, json={"name": "P", "limit": 5, "description": "d"})).json()
        body = {"name": "Q", "status": "archived", "type": "hybrid"}
        changed = (await client.put(f"{path}/{plan['reference']}", json=body)).json()
        assert changed == {**plan, "name": "Q", "status": "archived", "isActive": False}


async def test_only_a_free_or_usage_based_plan_is_the_default() -> None:
    """A priced first plan is none, asking for it is refused, and pricing the default one is refused as well."""
    async with client_of() as client:
        path = await plans_path(client)
        first = (await client.post(path, json={"name": "Pro", "price": 4900})).json()
        assert first["default"] is False
        refused = await client.put(f"{path}/{first['reference']}", json={"default": True})
        assert refused.status_code == 400
        assert refused.json()["message"] == "Only a free or usage-based plan can be the default plan"
        free = (await client.post(path, json={"name": "Free", "default": True})).json()
        assert (await client.put(f"{path}/{free['reference']}", json={"price": 1})).status_code == 400
        used = (await client.post(path, json={"name": "U", "type": "usage-based", "default": True})).json()
        found = (await client.get(path)).json()["plans"]
        assert [plan["reference"] for plan in found if plan["default"]] == [used["reference"]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "P", "type": "other"},
        {"name": "P", "creditsPerUnit": 0},
        {"name": "P", "creditsPerUnit": 1.5},
        {"name": "P", "price": -1},
        {"name": "P", "pricingOptions": {}},
    ],
)
async def test_a_plan_that_breaks_the_schema_is_refused(body: dict[str, Any]) -> None:
    """A failed validation, and no plan."""
    async with client_of() as client:
        path = await plans_path(client)
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
        assert (await client.get(path)).json()["total"] == 0


async def test_plans_are_priced_in_the_providers_currency() -> None:
    """Other currencies are pricing options of a plan in the provider's own."""
    async with client_of() as client:
        path = await plans_path(client)
        refused = await client.post(path, json={"name": "P", "currency": "EUR"})
        assert (refused.status_code, "currency" in refused.json()["message"]) == (400, True)
        options = [{"currency": "EUR", "price": 100}]
        plan = (await client.post(path, json={"name": "P", "currency": "USD", "pricingOptions": options})).json()
        assert plan["pricingOptions"] == options


async def test_a_deleted_plan_is_gone_for_new_customers_only() -> None:
    """404 afterwards; who is on it keeps what it gives."""
    async with client_of() as client:
        await client.post("/sandbox/customers", json={"reference": "cus_0VXPU8NE"})
        await client.post("/sandbox/products", json={"reference": "prd_P9Q0R1S2", "plan": {"freeUnits": 10}})
        path = f"{PRODUCTS}/prd_P9Q0R1S2/plans"
        (plan,) = (await client.get(path)).json()["plans"]
        assert await remaining(client) == 10
        assert (await client.delete(f"{path}/{plan['reference']}")).json() == {"success": True}
        for method in ("GET", "PUT", "DELETE"):
            answer = await client.request(method, f"{path}/{plan['reference']}")
            assert answer.status_code == 404
            assert answer.json()["message"] == f"Plan with reference {plan['reference']} not found"
        assert await remaining(client) == 10
