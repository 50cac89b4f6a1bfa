"""MCP products: made with all their plans at once, and configured again."""

from typing import Any

import httpx
import pytest

from tests.sandboxes import CUSTOMER, client_of, known

BOOTSTRAP = "/v1/sdk/products/mcp/bootstrap"
ORIGIN = "https://origin.example/mcp"
PRO = {"key": "pro", "name": "Pro", "price": 900, "currency": "USD", "billingCycle": "monthly", "limit": 50}


async def made(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A new MCP product."""
    answer = await client.post(BOOTSTRAP, json={"originUrl": ORIGIN, **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def left(client: httpx.AsyncClient, product: str) -> int:
    """Units that CUSTOMER has left."""
    answer = await client.post("/v1/sdk/limits", json={"customerRef": CUSTOMER, "productRef": product})
    return int(answer.json()["remaining"])


async def test_a_product_is_made_with_its_plans() -> None:
    """Each under its key, with a free default plan if there is none among them; tools know the keys."""
    async with client_of() as client:
        await known(client)
        tools = [{"name": "search", "planKeys": ["pro"]}, {"name": "help", "noPlan": True}]
        found = await made(client, name="Docs", mcpDomain="Acme Docs", plans=[PRO], tools=tools, authApiKey="secret")
        product, plans = found["product"], found["planMap"]
        assert (product["name"], product["isMcpPay"], product["mcp"]["originUrl"]) == ("Docs", True, ORIGIN)
        assert product["mcp"]["tools"] == {"search": ["pro"], "help": []}
        assert (found["mcpServer"]["subdomain"], found["mcpServer"]["url"]) == ("acme-docs", ORIGIN)
        assert [(key, plan["name"]) for key, plan in plans.items()] == [("free", "Free"), ("pro", "Pro")]
        assert found["mcpServer"]["defaultPlanRef"] == plans["free"]["reference"]
        assert "secret" not in str(found)
        assert await left(client, product["reference"]) == 999_999
        again = (await client.get(f"/v1/sdk/products/{product['reference']}")).json()
        assert again == product


async def test_a_free_plan_of_ones_own_is_the_default() -> None:
    """With its free units; the name comes from the address if nobody gives one."""
    async with client_of() as client:
        await known(client)
        free = {"key": "start", "name": "Start", "price": 0, "currency": "USD", "freeUnits": 7}
        found = await made(client, plans=[PRO, free])
        assert (found["product"]["name"], list(found["planMap"])) == ("origin.example", ["pro", "start"])
        assert await left(client, found["product"]["reference"]) == 7


async def test_plans_are_configured_by_key() -> None:
    """A known key keeps its reference, a new one is added, a missing one archived; the free plan stays."""
    async with client_of() as client:
        await known(client)
        found = await made(client, plans=[PRO, {**PRO, "key": "team", "name": "Team"}])
        path = f"/v1/sdk/products/{found['product']['reference']}/mcp/plans"
        body = {"plans": [{**PRO, "price": 1200}, {**PRO, "key": "max"}], "toolMapping": [_tool("search", "max")]}
        answer = await client.put(path, json=body)
        assert answer.status_code == 200, answer.text
        plans = answer.json()["planMap"]
        assert list(plans) == ["free", "pro", "max"]
        assert plans["pro"] == found["planMap"]["pro"]
        shown = {plan["reference"]: plan for plan in answer.json()["product"]["plans"]}
        assert shown[plans["pro"]["reference"]]["price"] == 1200
        assert shown[found["planMap"]["team"]["reference"]]["status"] == "archived"
        assert answer.json()["product"]["mcp"]["tools"] == {"search": ["max"]}
        assert list((await client.put(path, json={})).json()["planMap"]) == ["free", "pro", "max"]


def _tool(name: str, *keys: str) -> dict[str, Any]:
    return {"name": name, "planKeys": list(keys)}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"originUrl": "nowhere"}, ["originUrl"]),
        ({"originUrl": 5}, ["originUrl"]),
        ({"plans": [{**PRO, "price": -1}]}, ["plans", 0, "price"]),
        ({"plans": [{"key": "a", "name": "A", "currency": "USD"}]}, ["plans", 0, "price"]),
        ({"plans": [PRO, PRO]}, ["plans", 1, "key"]),
        ({"plans": [{**PRO, "type": "hybrid"}]}, ["plans", 0, "type"]),
        ({"plans": [PRO], "tools": [_tool("search", "none")]}, ["tools", 0, "planKeys"]),
        ({"tools": [{"planKeys": []}]}, ["tools", 0, "name"]),
        ({"plans": "all"}, ["plans"]),
    ],
)
async def test_a_bad_body_makes_nothing(body: dict[str, Any], path: list[str | int]) -> None:
    """The issue says where."""
    async with client_of() as client:
        answer = await client.post(BOOTSTRAP, json={"originUrl": ORIGIN, **body})
        assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
        assert path in [issue["path"] for issue in answer.json()["errors"]]
        assert (await client.get("/v1/sdk/products")).json()["total"] == 0


async def test_only_mcp_products_are_configured() -> None:
    """An unknown product is a 404, an ordinary one a 400."""
    async with client_of() as client:
        await known(client)
        answer = await client.put("/v1/sdk/products/prd_P9Q0R1S2/mcp/plans", json={})
        assert (answer.status_code, "not MCP-enabled" in answer.json()["message"]) == (400, True)
        assert (await client.put("/v1/sdk/products/prd_x/mcp/plans", json={})).status_code == 404
