"""`/user-info` and meter events: what an account page shows, and what is measured beside usage."""

from typing import Any

import pytest

from tests.sandboxes import CUSTOMER, PRODUCT, USAGES, client_of, event, known, remaining

REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}
METERED, METERED_BULK = "/v1/sdk/meter-events", "/v1/sdk/meter-events/bulk"
MEASURED = {"customerRef": CUSTOMER, "meterName": "requests"}


async def test_an_account_shows_what_was_used() -> None:
    """Of the plan in force; before there is one, it says that there is none."""
    async with client_of() as client:
        await known(client, free_units=10)
        before = (await client.post("/v1/sdk/user-info", json=REFS)).json()
        assert (before["status"], "purchase" in before) == ("No active purchase", False)
        assert before["user"]["reference"] == CUSTOMER
        await remaining(client)
        await client.post(USAGES, json=event(units=4))
        after = (await client.post("/v1/sdk/user-info", json=REFS)).json()
        assert after["purchase"]["usage"] == {"used": 4, "remaining": 6, "total": 10, "percentUsed": 40}


async def test_an_account_of_nobody_is_not_found() -> None:
    """404 for an unknown customer or product."""
    async with client_of() as client:
        await known(client)
        for name in REFS:
            answer = await client.post("/v1/sdk/user-info", json={**REFS, name: "x"})
            assert (answer.status_code, answer.json()["message"]) == (404, "Customer or product not found")


async def test_meter_events_are_no_usage() -> None:
    """They are taken, counted, and touch neither the allowance nor the usage rows."""
    async with client_of() as client:
        await known(client, free_units=10)
        for value in (-1.5, 10**30):
            assert (await client.post(METERED, json={**MEASURED, "value": value})).json() == {"success": True}
        events = [{**MEASURED, "properties": {"a": [1]}, "timestamp": "yesterday"}] * 1001
        for name in ("events", "records"):
            answer = await client.post(METERED_BULK, json={name: events})
            assert (answer.status_code, answer.json()) == (200, {"success": True, "inserted": 1001})
        assert await remaining(client) == 10
        assert (await client.get("/sandbox/totals")).json()["usages"] == 0


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"meterName": "steps"}, 400, "Invalid meter name or meter is archived"),
        ({"meterName": ""}, 400, "Validation failed"),
        ({"value": "1"}, 400, "Validation failed"),
        ({"customerRef": "x"}, 404, "not found"),
    ],
)
async def test_a_meter_event_names_a_meter_and_a_customer(fields: dict[str, Any], status: int, message: str) -> None:
    """One bad event costs the whole call."""
    async with client_of() as client:
        await known(client)
        single = await client.post(METERED, json={**MEASURED, **fields})
        bulk = await client.post(METERED_BULK, json={"events": [MEASURED, {**MEASURED, **fields}]})
        assert single.status_code == bulk.status_code == status
        assert message in single.json()["message"]
        assert message in bulk.json()["message"]
        assert (await client.post(METERED_BULK, json={"events": []})).status_code == 400
