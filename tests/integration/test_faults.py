"""What strikes while events are held: the process, the provider, the broker. Each event is billed once all the same."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.brokers import Broker, MakeBroker, MakeTopic
from tests.integration.books import Planned, invalid, usage, usages
from tests.integration.daemon import BULK_ROUTE, OVER_BOTH, SLOW, Sandbox, installation
from tests.waiting import eventually

EVENTS = 20_000
STRIKE_AT = 4_000
FAILS_AFTER_COMMIT: Sequence[Mapping[str, object]] = (
    {"kind": "cut_after_commit"},
    {"kind": "status_after_commit", "status": 500},
)
ROUTES = {"rest": BULK_ROUTE, "mcp": "/mcp/record_bulk_usage"}

pytestmark = pytest.mark.timeout(300)


@OVER_BOTH
async def test_a_killed_meter_loses_nothing_and_bills_nothing_twice(
    broker: Broker, topic: MakeTopic, tmp_path: Path, transport: str
) -> None:
    """C1, C2: SIGKILL while requests are under way, with copies in other partitions and many dead letters. In no
    moment was an event in no topic: its successor finds an end for every origin, and repeats what was in flight."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path, transport) as place:
        await place.start_sandbox(SLOW)
        meter = await place.start_meter()
        await place.produce(_with_copies_and_dead_letters(EVENTS))
        await place.strike_moment(STRIKE_AT, EVENTS)

        meter.kill()
        assert (await place.sandbox.totals())["usages"] < EVENTS
        await place.start_meter()

        await place.all_is_billed_once()
        assert (await place.sandbox.totals())["duplicates"] > 0


def _with_copies_and_dead_letters(count: int) -> Iterable[Planned]:
    """Each twentieth event has a copy in the next partition right behind it, or a record that is none."""
    for number in range(count):
        yield usage(number)
        if number % 20 == 7:
            yield usage(number, partition=(number + 1) % 4)
        elif number % 20 == 17:
            yield invalid(number // 20)


@OVER_BOTH
async def test_a_provider_that_inserts_and_then_fails_is_asked_again_with_the_same_keys(
    broker: Broker, topic: MakeTopic, tmp_path: Path, transport: str
) -> None:
    """First it cuts the connection, then it answers 500: the outcome is unknown to meter, which repeats the batch,
    and the provider answers `duplicate`."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path, transport) as place:
        sandbox = await place.start_sandbox(SLOW)
        await place.start_meter()
        await place.produce(usages(EVENTS))
        repeated = 0
        for strike_at, fault in enumerate(FAILS_AFTER_COMMIT, start=1):
            await place.strike_moment(strike_at * STRIKE_AT, EVENTS)
            await sandbox.fail(SLOW, {"route": ROUTES[transport], "count": 3, **fault})
            repeated = await _more_duplicates(sandbox, than=repeated)

        await place.all_is_billed_once()


async def _more_duplicates(sandbox: Sandbox, than: int) -> int:
    async def more() -> int:
        duplicates = (await sandbox.totals())["duplicates"]
        return duplicates if duplicates > than else 0

    return await eventually(more, 60, "the provider is asked again for what it has")


async def test_a_killed_broker_that_comes_back_is_all_that_is_needed(
    own_broker: MakeBroker, topic: MakeTopic, tmp_path: Path
) -> None:
    """SIGKILL of Kafka while events are held: meter waits, says so, and goes on by itself."""
    broker = await asyncio.to_thread(own_broker)
    async with installation(broker.bootstrap_servers, await topic(servers=broker.bootstrap_servers), tmp_path) as place:
        await place.start_sandbox(SLOW)
        meter = await place.start_meter()
        await place.produce(usages(EVENTS))
        await place.strike_moment(STRIKE_AT, EVENTS)

        await asyncio.to_thread(broker.kill)
        assert (await place.sandbox.totals())["usages"] < EVENTS
        await asyncio.to_thread(broker.restart)

        await place.all_is_billed_once()
        assert meter.program.is_running
