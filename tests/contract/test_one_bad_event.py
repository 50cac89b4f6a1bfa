"""What one bad event costs its batch: the whole of meter but Kafka, and the sandbox over a socket, which counts."""

import contextlib
from collections.abc import AsyncIterator
from math import log2

import httpx
import pytest

from meter.billing.calling import HttpBilling
from meter.billing.mcp import McpFraming
from meter.billing.rest import RestFraming
from meter.pipeline.buffer import BatchLimits
from meter.sandbox.app import Sandbox
from meter.sandbox.server import running
from meter.sandbox.store import Store
from tests.fake_log import FakeRecord
from tests.shell import LETTERS, Process

EVENTS = 1000
KEY = "sk_sandbox_contract"
MOST_EXTRA_CALLS = 2 * log2(EVENTS) + 1
"""When nobody says which event is bad: two halves for each time that its part is halved."""
HALVINGS_OF_1000 = 10


class Provider:
    """The sandbox, refusing one customer; `controls` reaches it."""

    def __init__(self, url: str, controls: httpx.AsyncClient) -> None:
        self.url = url
        self._controls = controls

    async def refuse(self, customer: str, route: str, *, named: bool) -> None:
        """From now on a batch with an event of this customer is answered 400."""
        fault = {"route": route, "kind": "reject_event", "rate": 1.0, "customers": [customer], "named": named}
        (await self._controls.put("/sandbox/faults", json=[fault])).raise_for_status()

    async def totals(self) -> tuple[int, int]:
        """Rows that are kept, and requests that came."""
        totals = (await self._controls.get("/sandbox/totals")).json()
        return totals["usages"], totals["requests"]


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A fresh one."""
    with contextlib.closing(Store()) as store:
        async with running(Sandbox(store, key=KEY)) as url, httpx.AsyncClient(base_url=url) as controls:
            yield Provider(url, controls)


def dead_letters(meter: Process) -> list[FakeRecord]:
    """Whatever was dead-lettered."""
    return [record for log in meter.cluster.topics[LETTERS] for record in log.records]


async def extra_calls(provider: Provider, bad: int, *, named: bool, transport: str = "rest", at_once: int = 4) -> int:
    """Sends a thousand events, one of them bad; how many calls more than the one it takes without a bad one.

    All others were accepted then; the bad one is dead-lettered at the latest when one more event is accepted.
    """
    is_mcp = transport == "mcp"
    framing = McpFraming(f"{provider.url}/mcp", KEY) if is_mcp else RestFraming(provider.url, KEY)
    billing = HttpBilling(framing, 30.0)
    limits = BatchLimits(EVENTS, 900_000, 0.0)
    meter = Process(partitions=1, bills_at=billing, batch=limits, max_held_events=2 * EVENTS, max_in_flight=at_once)
    await provider.refuse("cus_bad", "/mcp" if is_mcp else "/v1/sdk/usages/bulk", named=named)
    meter.produce(*(f"k{n}" for n in range(bad)))
    meter.produce("bad", customer="cus_bad")
    meter.produce(*(f"k{n}" for n in range(bad + 1, EVENTS)))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(billing.close)
        await stack.enter_async_context(meter.running())
        await meter.until(lambda: len(meter.receipted()) == EVENTS - 1, "all others are accepted")
        # The last halves travel at once, and what was sent before the refusal says nothing of whose fault it was.
        await meter.until(lambda: meter.machine.refusals or dead_letters(meter), "the bad one is refused")
        await meter.turns()
        rows, calls = await provider.totals()
        meter.produce("one more")
        await meter.ended()
    assert rows == EVENTS - 1
    (letter,) = dead_letters(meter)
    assert dict(letter.headers)["meter-reason"] == b"rejected"
    assert meter.events == {"consumed": EVENTS + 1, "accepted": EVENTS, "dead_lettered": 1}
    assert await provider.totals() == (EVENTS, calls + 1), "dead-lettered without being sent again"
    return calls - 1


@pytest.mark.parametrize("transport", ["rest", "mcp"])
@pytest.mark.parametrize("at_once", [1, 4])
async def test_one_bad_event_that_is_named_costs_one_call_more(
    provider: Provider, transport: str, at_once: int
) -> None:
    """999 of 1000 are accepted: the refused call, and one without the bad event."""
    assert await extra_calls(provider, 700, named=True, transport=transport, at_once=at_once) == 1


@pytest.mark.parametrize("transport", ["rest", "mcp"])
@pytest.mark.parametrize("at_once", [1, 4])
async def test_one_bad_event_that_nobody_names_costs_twenty_calls_more_at_most(
    provider: Provider, transport: str, at_once: int
) -> None:
    """999 of 1000 are accepted, and the bad one stands alone after ten halvings, two calls each."""
    extra = await extra_calls(provider, 999, named=False, transport=transport, at_once=at_once)
    assert extra == 2 * HALVINGS_OF_1000 <= MOST_EXTRA_CALLS
