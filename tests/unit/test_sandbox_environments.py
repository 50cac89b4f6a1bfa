"""Two environments behind one address: the key's prefix chooses, and nothing of one is seen from the other."""

from contextlib import closing
from typing import Any

import pytest

from meter.sandbox.store import Store
from tests.operations import NAMES, World, world_of
from tests.sandboxes import client_of, rows

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
