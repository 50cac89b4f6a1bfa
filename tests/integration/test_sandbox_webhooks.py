"""Webhooks over real connections: sent at once, retried, and none lost by kill -9."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from meter.sandbox.app import Sandbox
from meter.sandbox.knobs import Knobs
from meter.sandbox.server import listen, running
from meter.sandbox.store import Store
from tests.commands import sandbox_process
from tests.sandboxes import BULK, CUSTOMER, activate, event, grant, known, plan_of
from tests.waiting import eventually
from tests.webhook_receiver import Receiver

KEY = {"x-api-key": "sk_sandbox_test"}
SECRET = "whsec_of_the_test"
GRANTED = ("customer.credit.granted",)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[str]:
    """The receiver on a free port; its address."""
    with listen("127.0.0.1", 0) as listening:
        config = uvicorn.Config(receiver.app, ws="none", lifespan="off", log_config=None, access_log=False)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await eventually(lambda: server.started, 60, "the receiver listens")
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/hooks"
        finally:
            server.should_exit = True
            await serving


@contextmanager
def process(url: str, data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`meter sandbox` with a file and an endpoint, its retries a hundred thousand times faster."""
    turned = {"WEBHOOK_URL": url, "WEBHOOK_SECRET": SECRET, "WEBHOOK_TIME_SCALE": "0.00001"}
    variables = {f"METER_SANDBOX__{name}": value for name, value in turned.items()}
    with sandbox_process("--data", str(data), environ=variables) as running_process:
        yield running_process


async def on_credits(client: httpx.AsyncClient) -> None:
    """CUSTOMER is on a plan that takes a credit a unit, with a million of them."""
    await known(client, None)
    plan = await plan_of(client, type="usage-based", creditsPerUnit=1)
    await grant(client, 1_000_000)
    assert (await activate(client, plan))["status"] == "activated"


async def test_an_event_arrives_at_once_and_again_until_it_is_taken() -> None:
    """Nobody has to look for it; a refusal is tried again after five scaled minutes."""
    receiver = Receiver(SECRET, time.time)
    receiver.status = 500
    async with receiving(receiver) as url:
        knobs = Knobs(webhook_url=url, webhook_secret=SECRET, webhook_events=GRANTED, webhook_time_scale=0.0005)
        with closing(Store()) as store:
            async with (
                running(Sandbox(store, knobs=knobs)) as base,
                httpx.AsyncClient(base_url=base, headers=KEY) as client,
            ):
                await known(client)
                await grant(client, 10)
                await eventually(lambda: len(receiver.received) == 1, 60, "the first attempt")
                receiver.status = 200
                await eventually(lambda: len(receiver.received) == 2, 60, "the second attempt")
                await eventually(lambda: _states(client, {"delivered"}), 60, "delivered")
    assert receiver.refused == 0


async def test_an_endpoint_that_is_not_there_holds_up_nobody() -> None:
    """What cannot be connected to is a failed attempt; others get theirs meanwhile."""
    receiver = Receiver(SECRET, time.time)
    with listen("127.0.0.1", 0) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    async with receiving(receiver) as url:
        with closing(Store()) as store:
            knobs = Knobs(webhook_url=url, webhook_secret=SECRET, webhook_events=GRANTED)
            async with (
                running(Sandbox(store, knobs=knobs)) as base,
                httpx.AsyncClient(base_url=base, headers=KEY) as client,
            ):
                await known(client)
                (
                    await client.post("/v1/webhook_endpoints", json={"url": nobody, "enabledEvents": GRANTED})
                ).raise_for_status()
                await grant(client, 10)
                await eventually(lambda: receiver.types == ["customer.credit.granted"], 60, "delivered")
                await eventually(lambda: _states(client, {"delivered", "waiting"}), 60, "one delivered, one failed")


async def test_a_receiver_that_does_not_answer_does_not_keep_the_sandbox(capfd: pytest.CaptureFixture[str]) -> None:
    """Stopping cuts an attempt short; it counts as none, and is made again after the next start."""
    with listen("127.0.0.1", 0) as silent, closing(Store()) as store:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        knobs = Knobs(webhook_url=url, webhook_events=GRANTED)
        async with (
            asyncio.timeout(60),
            running(Sandbox(store, knobs=knobs)) as base,
            httpx.AsyncClient(base_url=base, headers=KEY) as client,
        ):
            await known(client)
            await grant(client, 10)
            connection, _ = await asyncio.to_thread(silent.accept)
        connection.close()
        (delivery,) = store.outbox.after(0, 10)
        assert (delivery.state, delivery.attempts) == ("waiting", 0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.timeout(300)
async def test_no_event_is_lost_by_kill_9(tmp_path: Path) -> None:
    """Killed in the middle of a load: after the restart the receiver has heard of every credit that was taken.

    Deliveries may repeat; each event counts once by its id. Acknowledged or not: what is in the books was told.
    """
    receiver, data = Receiver(SECRET, time.time), tmp_path / "sandbox.db"
    acknowledged = 0
    async with receiving(receiver) as url:
        with process(url, data) as (killed, base):
            async with httpx.AsyncClient(base_url=base, headers=KEY) as client:
                await on_credits(client)

                async def load(lane: int) -> None:
                    nonlocal acknowledged
                    for number in range(10_000):
                        events = [event(idempotencyKey=f"{lane}-{number}-{index}") for index in range(100)]
                        (await client.post(BULK, json={"events": events})).raise_for_status()
                        acknowledged += 100

                loads = [asyncio.create_task(load(lane)) for lane in range(2)]
                await eventually(lambda: acknowledged >= 2000, 60, "twenty calls are acknowledged")
                killed.kill()
                results = await asyncio.gather(*loads, return_exceptions=True)
                assert all(isinstance(result, httpx.TransportError) for result in results), results
        with process(url, data) as (_, base):
            async with httpx.AsyncClient(base_url=base, headers=KEY) as client:
                await eventually(lambda: _states(client, {"delivered"}), 60, "everything is delivered")
                balance = (await client.get(f"/v1/sdk/customers/{CUSTOMER}/balance")).json()["credits"]
                kept = (await client.get("/sandbox/totals")).json()["usages"]
    debits = {each.event["id"]: each.event["data"]["object"] for each in _debits(receiver)}
    assert kept >= acknowledged
    assert sum(debit["amount"] for debit in debits.values()) == -kept == balance - 1_000_000
    assert min(debit["credits"] for debit in debits.values()) == balance


def _debits(receiver: Receiver) -> list[Any]:
    return [each for each in receiver.received if each.event["type"] == "customer.credit.debited"]


async def _states(client: httpx.AsyncClient, wanted: set[str]) -> bool:
    """Whether deliveries stand exactly so, and whatever waits was tried."""
    found = (await client.get("/sandbox/webhooks", params={"limit": 1000})).json()["deliveries"]
    tried = all(each["attempts"] for each in found)
    return tried and {each["state"] for each in found} == wanted
