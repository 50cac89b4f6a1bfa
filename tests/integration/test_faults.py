"""What strikes while events are held: the process, the provider, the broker. Each event is billed once all the same."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.brokers import Broker, MakeBroker, MakeTopic
from tests.integration.books import Planned, invalid, usage, usages
from tests.integration.daemon import BULK_ROUTE, SLOW, installation

EVENTS = 20_000
STRIKE_AT = 4_000

pytestmark = pytest.mark.timeout(120)


async def test_a_killed_meter_loses_nothing_and_bills_nothing_twice(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """SIGKILL while requests are under way; the successor gets the events again and knows those that were billed."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox(SLOW)
        meter = await place.start_meter()
        await place.produce(usages(EVENTS))
        await place.strike_moment(STRIKE_AT, EVENTS)

        meter.kill()
        assert (await place.sandbox.totals())["usages"] < EVENTS
        await place.start_meter()

        await place.all_is_billed_once()
        assert await place.redelivered() > 0


@pytest.mark.parametrize(
    "fault", [{"kind": "cut_after_commit"}, {"kind": "status_after_commit", "status": 500}], ids=lambda f: f["kind"]
)
async def test_a_provider_that_inserts_and_then_fails_is_asked_again_with_the_same_keys(
    broker: Broker, topic: MakeTopic, tmp_path: Path, fault: dict[str, object]
) -> None:
    """The outcome is unknown to meter: it repeats the batch, and the provider answers `duplicate`."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        sandbox = await place.start_sandbox(SLOW)
        await place.start_meter()
        await place.produce(usages(EVENTS))
        await place.strike_moment(STRIKE_AT, EVENTS)

        await sandbox.fail(SLOW, {"route": BULK_ROUTE, "count": 5, **fault})

        await place.all_is_billed_once()
        assert (await sandbox.struck(str(fault["kind"])), (await sandbox.totals())["duplicates"] > 0) == (5, True)


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


async def test_in_no_moment_is_an_event_in_no_topic(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """C1, C2: copies in another partition and many dead letters, killed twice; every origin still has its end."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox(SLOW)
        meter = await place.start_meter()
        await place.produce(_with_copies_and_dead_letters(EVENTS))
        for strike_at in (STRIKE_AT, 2 * STRIKE_AT):
            await place.strike_moment(strike_at, EVENTS)
            meter.kill()
            meter = await place.start_meter()

        await place.all_is_billed_once()


def _with_copies_and_dead_letters(count: int) -> Iterable[Planned]:
    """Each twentieth event has a copy in the next partition right behind it, or a record that is none."""
    for number in range(count):
        yield usage(number)
        if number % 20 == 7:
            yield usage(number, partition=(number + 1) % 4)
        elif number % 20 == 17:
            yield invalid(number // 20)


async def test_a_slow_provider_is_no_fault(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """Longer than the deadline of a request, for a while: unknown outcomes, then everything is billed once."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        sandbox = await place.start_sandbox(SLOW)
        await place.start_meter()
        await place.produce(usages(EVENTS))
        await place.strike_moment(STRIKE_AT, EVENTS)

        await sandbox.fail({"route": BULK_ROUTE, "kind": "delay", "seconds": 3, "count": 2}, SLOW)

        await place.all_is_billed_once()
        assert (await sandbox.totals())["duplicates"] > 0
