"""Faults below the protocol, over real connections: cut, late, waiting when the server stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
import pytest

from meter.sandbox.app import Sandbox
from meter.sandbox.server import running
from meter.sandbox.store import Store
from tests.sandboxes import BULK, event, tool, tool_answer
from tests.waiting import eventually

EVENTS = {"events": [event(idempotencyKey=f"{number}") for number in range(100)]}


@asynccontextmanager
async def served(**fault: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox on a free port, with a fault on the twin of `record_bulk_usage`."""
    with closing(Store()) as store:
        headers = {"x-api-key": "sk_sandbox_test"}
        async with running(Sandbox(store)) as url, httpx.AsyncClient(base_url=url, headers=headers) as client:
            (await client.put("/sandbox/faults", json=[{"route": BULK, **fault}])).raise_for_status()
            await tool(client, "get_transaction_stats", {})  # loaded, so that what follows takes no time
            yield client


async def kept(client: httpx.AsyncClient) -> int:
    """How many usages the sandbox keeps."""
    return int((await client.get("/sandbox/totals")).json()["usages"])


async def struck(client: httpx.AsyncClient) -> bool:
    """Whether the fault has struck."""
    return bool((await client.get("/sandbox/faults")).json()[0]["struck"])


@pytest.mark.parametrize(("kind", "count"), [("cut_before_commit", 0), ("cut_after_commit", 100)])
async def test_a_cut_resets_the_connection(kind: str, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    """No byte of an answer; the server goes on and prints nothing."""
    async with served(kind=kind, count=1) as client:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await tool_answer(client, "record_bulk_usage", EVENTS)
        assert await kept(client) == count
        await tool(client, "record_bulk_usage", EVENTS)
        assert await kept(client) == 100
    assert capfd.readouterr() == ("", "")


async def test_a_delayed_call_is_carried_out_although_its_client_has_left() -> None:
    """A timeout at the client says nothing about what the provider does."""
    async with served(kind="delay", seconds=2) as client:
        client.timeout = httpx.Timeout(0.2)
        with pytest.raises(httpx.ReadTimeout):
            await tool_answer(client, "record_bulk_usage", EVENTS)
        client.timeout = httpx.Timeout(10)
        await eventually(lambda: _all_kept(client), 60, "the abandoned call was carried out")


async def test_a_late_commit_comes_after_the_client_has_gone() -> None:
    """Nothing while the client waits; everything a while after it has given up."""
    async with served(kind="late_commit", seconds=2) as client:
        client.timeout = httpx.Timeout(0.2)
        with pytest.raises(httpx.ReadTimeout):
            await tool_answer(client, "record_bulk_usage", EVENTS)
        client.timeout = httpx.Timeout(10)
        assert await kept(client) == 0
        await eventually(lambda: _all_kept(client), 60, "the late insert has happened")


async def test_stopping_waits_for_no_fault(capfd: pytest.CaptureFixture[str]) -> None:
    """A call that a fault holds for minutes is cut when the server stops, quietly."""
    async with asyncio.timeout(60):
        async with served(kind="delay", seconds=600) as client:
            slow = asyncio.create_task(tool_answer(client, "record_bulk_usage", EVENTS))
            await eventually(lambda: struck(client), 60, "the call has arrived")
            client.timeout = httpx.Timeout(10)
        with pytest.raises(httpx.TransportError):
            await slow
    assert capfd.readouterr() == ("", "")


async def _all_kept(client: httpx.AsyncClient) -> bool:
    return await kept(client) == 100
