"""Two environments behind one address: the key's prefix chooses, and nothing of one is seen from the other."""

from contextlib import closing
from typing import Any

import pytest

from meter.sandbox.mcp.tools import tools
from meter.sandbox.store import Store
from tests.operations import NAMES, REFS, World, world_of
from tests.sandboxes import CUSTOMER, PRODUCT, USAGES, client_of, event, rows, tool, tool_answer

KEYS = {"sandbox": "sk_sandbox_1", "live": "sk_live_1", "neither": "anything else"}
MAKES_SOMETHING = {
    "POST /v1/sdk/customers": 201,
    "POST /v1/sdk/products": 201,
    "POST /v1/sdk/products/mcp/bootstrap": 201,
    "POST /v1/sdk/usages": 200,
    "POST /v1/sdk/usages/bulk": 200,
}
"""Operations that need nothing to be there."""

READS = {
    "GET /v1/sdk/merchant",
    "GET /v1/sdk/platform-config",
    "GET /v1/sdk/payment-intents",
    "GET /v1/sdk/products",
    "GET /v1/sdk/purchases",
}
"""Operations that show whatever there is."""

MAKE_SOMETHING_OR_SUM_UP = {
    "create_customer",
    "ensure_customer",
    "create_product",
    "get_transaction_stats",
    "record_usage",
    "record_bulk_usage",
}
"""Tools that need nothing to be there."""


async def seen(world: World, key: str) -> dict[str, Any]:
    """Everything that can be read with `key`."""
    reads = [name for name in NAMES if name.startswith("GET ")]
    headers = {"authorization": f"Bearer {key}"}
    return {name: (await world.ask(name, headers=headers)).json() for name in reads}


@pytest.mark.parametrize(("own", "other"), [("sandbox", "live"), ("live", "sandbox"), ("neither", "live")])
async def test_nothing_of_one_environment_is_seen_from_the_other(own: str, other: str) -> None:
    """Every operation of the other one, asked for what is here, finds nothing, and changes nothing here."""
    environment = "live" if own == "live" else "sandbox"
    async with world_of(sent_key=KEYS[own], environment=environment) as world:
        before = await seen(world, KEYS[own])
        recorded = len(await rows(world.client))
        for name in NAMES:
            answer = await world.ask(name, headers={"authorization": f"Bearer {KEYS[other]}"})
            expected = MAKES_SOMETHING.get(name, 200 if name in READS else 404)
            assert answer.status_code == expected, (name, answer.text)
            found = [reference for reference in world.names.values() if reference in answer.text]
            assert not found or answer.status_code == 404, (name, answer.text)
        assert await seen(world, KEYS[own]) == before
        added = (await rows(world.client))[recorded:]
        assert {row["environment"] for row in added} == {other}


async def test_no_tool_reaches_into_the_other_environment() -> None:
    """Each of the thirteen, asked by the other key about what is here: nothing found, nothing changed, nothing told."""
    async with world_of() as world:
        client, names = world.client, world.names
        (paid,) = (await client.get("/sandbox/transactions")).json()["transactions"]
        email = f"{CUSTOMER}@example.com"
        arguments: dict[str, dict[str, Any]] = {
            "create_customer": {"email": email},
            "ensure_customer": {"email": email},
            "create_product": {"name": "bot"},
            "get_transaction_stats": {},
            "get_product_balance": {"productRef": PRODUCT},
            "get_purchases_by_customer": {"customerRef": CUSTOMER},
            "cancel_renewal": {"purchaseRef": names["purchaseRef"]},
            "create_checkout_session": {**REFS, "planRef": names["planRef"]},
            "create_refund": {"sourceTransactionRef": paid["reference"]},
            "record_usage": event(idempotencyKey="one"),
            "check_limits": REFS,
            "record_bulk_usage": {"events": [event(idempotencyKey="one")]},
            "create_customer_session": {"customerRef": CUSTOMER},
        }
        assert set(arguments) == {tool.name for tool in tools()}
        await client.post(USAGES, json=event(idempotencyKey="one", units=7))
        before, sums = await seen(world, KEYS["sandbox"]), await tool(client, "get_transaction_stats", {})
        for name, given in arguments.items():
            answer = await tool_answer(client, name, given, authorization=f"Bearer {KEYS['live']}")
            result = answer.json()["result"]["structuredContent"]
            code = None if result["success"] else result["error"]["code"]
            assert code == (None if name in MAKE_SOMETHING_OR_SUM_UP else "NOT_FOUND"), (name, result)
            told = answer.text.replace(email, "")
            assert code or not [reference for reference in names.values() if reference in told], (name, result)
        elsewhere = await tool(client, "get_transaction_stats", {}, authorization=f"Bearer {KEYS['live']}")
        assert (elsewhere["totalTransactions"], elsewhere["totalRevenue"]) == (0, 0)
        assert (await seen(world, KEYS["sandbox"]), await tool(client, "get_transaction_stats", {})) == (before, sums)
        assert [row["units"] for row in await rows(client) if row["environment"] == "live"] == [1]


async def test_the_environments_stay_apart_in_the_file() -> None:
    """After a restart each key sees what it saw before."""
    with closing(Store()) as store:
        async with world_of(store, sent_key=KEYS["live"], environment="live") as world:
            before = [await seen(world, key) for key in KEYS.values()]
        async with client_of(store) as client:
            again = World(client, world.names)
            assert [await seen(again, key) for key in KEYS.values()] == before
    sandbox, live, neither = before
    assert sandbox == neither != live
