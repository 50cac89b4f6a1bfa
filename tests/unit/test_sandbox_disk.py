"""What the sandbox cannot help, a full disk before all: told in the provider's words, and nothing stays half-done."""

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from meter.sandbox.app import Sandbox
from meter.sandbox.store import Store
from tests.sandboxes import (
    BULK,
    CUSTOMER,
    LIMITS,
    NOW,
    PRODUCT,
    FixedClock,
    bought,
    client_of,
    event,
    known,
    plan_of,
    rows,
    tool,
    tool_answer,
)

CACHE_BYTES = 64 * 2**20
"""What does not fit into SQLite's memory is written before the transaction's end, and fails in the midst of it."""

THE_500 = {"statusCode": 500, "message": "Internal server error", "error": "Internal Server Error"}


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """No file in the folder grows any more inside of the block: the kernel refuses it, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(each.stat().st_size for each in folder.iterdir()), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@asynccontextmanager
async def kept_in(folder: Path, clock: FixedClock) -> AsyncIterator[httpx.AsyncClient]:
    """A sandbox over a file, with a customer who pays monthly and a webhook that waits for ever."""
    with closing(Store(folder / "sandbox.db")) as store:
        async with client_of(store, clock=clock) as client:
            await known(client)
            await bought(client, await plan_of(client, type="recurring", price=4900, billingCycle="monthly"))
            (await client.post("/v1/webhook_endpoints", json={"url": "http://127.0.0.1:9/"})).raise_for_status()
            yield client


@pytest.mark.parametrize("bytes_sent", [100_000, CACHE_BYTES + 2**24], ids=["at its end", "in its midst"])
async def test_a_transaction_that_the_disk_refuses_leaves_nothing(
    tmp_path: Path, bytes_sent: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same key is new afterwards, as the client takes it to be; the operator is told of the disk itself."""
    async with kept_in(tmp_path, FixedClock()) as client:
        with full_disk(tmp_path):
            big = event(idempotencyKey="one", metadata={"filler": "x" * bytes_sent})
            refused = await client.post(BULK, json={"events": [event(idempotencyKey="other"), big]})
        assert (refused.status_code, refused.json()) == (500, THE_500)
        assert await rows(client) == []
        accepted = await client.post(BULK, json={"events": [event(idempotencyKey="one")]})
        assert "duplicate" not in accepted.text
        assert len(await rows(client)) == 1
    assert "disk I/O error" in capsys.readouterr().err


async def test_a_renewal_that_the_disk_refuses_is_a_500_of_the_provider(tmp_path: Path) -> None:
    """Over REST and over MCP; it is made up for, once, when the disk takes it again."""
    clock = FixedClock()
    question = {"customerRef": CUSTOMER, "productRef": PRODUCT}
    async with kept_in(tmp_path, clock) as client:
        clock.now += 40 * 86400
        with full_disk(tmp_path):
            over_rest = await client.post(LIMITS, json=question)
            over_mcp = (await tool_answer(client, "check_limits", question)).json()["result"]
        assert (over_rest.status_code, over_rest.json()) == (500, THE_500)
        told = {"code": "INTERNAL_ERROR", "message": "Internal server error"}
        assert (over_mcp["isError"], over_mcp["structuredContent"]) == (True, {"success": False, "error": told})
        assert (await tool(client, "get_transaction_stats", {}))["totalTransactions"] == 2
        assert (await tool(client, "get_transaction_stats", {}))["totalTransactions"] == 2


async def test_a_reset_that_the_disk_refuses_forgets_nothing(tmp_path: Path) -> None:
    """Neither what the file holds nor what memory does: webhooks go where they went."""
    async with kept_in(tmp_path, FixedClock(NOW)) as client:
        await client.post(BULK, json={"events": [event(metadata={"filler": "x" * 1000}) for _ in range(500)]})
        with full_disk(tmp_path):
            assert (await client.post("/sandbox/reset")).status_code == 500
        assert len(await rows(client)) == 500
        assert len((await client.get("/v1/webhook_endpoints")).json()["webhookEndpoints"]) == 1


async def test_what_nobody_has_foreseen_is_a_500_and_told_to_the_operator(capsys: pytest.CaptureFixture[str]) -> None:
    """In the provider's words for the client; with its place in the code for whoever can fix it."""
    clock = FixedClock()
    with closing(Store()) as store:
        sandbox = Sandbox(store, now=clock)
        clock.now = float("nan")
        transport = httpx.ASGITransport(app=sandbox, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            answer = await client.get("/v1/sdk/products", headers={"x-api-key": "k"})
    assert (answer.status_code, answer.json()) == (500, THE_500)
    assert "Traceback" in capsys.readouterr().err
