"""Replicas that come, leave, die and sleep while events are held: others go on, and nobody bills twice."""

import json
import signal
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from tests.brokers import Broker, MakeTopic
from tests.integration.books import usages
from tests.integration.daemon import SLOW, Installation, Meter, installation
from tests.waiting import eventually

EVENTS = 20_000
STRIKE_AT = 4_000
MORE = 3_000
SMALL = {"batch__max_events": 150}
"""Two meters bill twice as fast: smaller batches make the work last."""

pytestmark = pytest.mark.timeout(120)


async def two_meters_at_work(place: Installation) -> tuple[Meter, Meter]:
    """Both have partitions, and are in the middle of the work."""
    await place.start_sandbox(SLOW)
    first, second = await place.start_meter(**SMALL), await place.start_meter(**SMALL)

    async def shared() -> bool:
        return (len(await first.partitions()), len(await second.partitions())) == (2, 2)

    await eventually(shared, 30, "each meter has two partitions")
    await place.produce(usages(EVENTS))
    await place.strike_moment(STRIKE_AT, EVENTS)
    return first, second


async def test_a_stopped_replica_hands_its_partitions_over(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """SIGTERM to one of two: it ends what it holds and exits 0; the other one does the rest."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        first, second = await two_meters_at_work(place)

        await first.program.stop()

        await place.all_is_billed_once()
        assert await second.partitions() == {0, 1, 2, 3}


async def test_a_killed_replica_is_replaced_by_the_others(broker: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """SIGKILL to one of two: after its session its partitions move, and what it had billed is recognised."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        first, second = await two_meters_at_work(place)

        first.kill()
        assert (await place.sandbox.totals())["usages"] < EVENTS

        await place.all_is_billed_once()
        assert await second.partitions() == {0, 1, 2, 3}
        assert await place.redelivered() > 0


async def test_a_replica_that_slept_past_its_session_bills_nothing_when_it_wakes(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """M1: SIGSTOP, another one does the work, SIGCONT. The sleeper still holds events, and sends not one request,
    not even to a provider that has forgotten all keys."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        sandbox = await place.start_sandbox(SLOW)
        sleeper = await place.start_meter()
        await place.produce(usages(EVENTS))
        await place.strike_moment(STRIKE_AT, EVENTS)

        sleeper.program.signal(signal.SIGSTOP)
        place.meters.remove(sleeper)
        assert (await sandbox.totals())["usages"] < EVENTS
        await place.start_meter()
        await place.everything_ended()
        await place.books_balance()
        assert await place.redelivered() > 0
        await sandbox.json("POST", "/sandbox/reset")
        sleeper.program.signal(signal.SIGCONT)
        place.meters.append(sleeper)

        await eventually(sleeper.ready, 30, "the sleeper is a member again")
        await place.nothing_more_is_sent()
        assert await sandbox.totals() == {"usages": 0, "units": 0, "duplicates": 0, "requests": 0}
        await place.everything_ended()


async def test_a_replica_that_wakes_with_a_batch_due_does_not_send_it(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """M1 again, with nothing in flight that would hold the sleeper up: its batch is due in the moment it wakes, before
    it can have heard of the rebalance, and only the lease keeps it from billing what another one has billed."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        sandbox = await place.start_sandbox()
        sleeper = await place.start_meter(batch__max_age_seconds=5)
        await eventually(sleeper.ready, 20, "the sleeper is ready")
        await place.produce(usages(100, invalid_every=1000))

        async def all_held() -> bool:
            held: int = (await sleeper.status())["events"]["held"]
            return held == 100

        await eventually(all_held, 30, "every event is held, none is sent")
        sleeper.program.signal(signal.SIGSTOP)
        place.meters.remove(sleeper)
        await place.start_meter()
        await place.everything_ended()
        await sandbox.json("POST", "/sandbox/reset")
        sleeper.program.signal(signal.SIGCONT)

        async def all_released() -> bool:
            released: int = (await sleeper.status())["events"]["released"]
            return released == 100

        await eventually(all_released, 30, "the sleeper knows that its events are not its own any more")
        assert (await sandbox.totals())["requests"] == 0


async def test_three_replicas_restarted_one_after_the_other_under_load_go_on_through_ten_rebalances(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """M9, and an upgrade as it is done: every restart is two rebalances, a member that only looks in makes the rest.
    All the while events end, and a window is never read from its beginning again by whoever has it already."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox({**SLOW, "seconds": 0.4})
        meters = [await place.start_meter(**SMALL) for _ in range(3)]
        await everybody_has_partitions(meters)
        started, billed = time.monotonic(), [0]

        for turn in range(5):
            await place.produce(usages(MORE, first=turn * MORE))
            await place.strike_moment(billed[-1] + 1, (turn + 1) * MORE)
            if turn < 3:
                old = meters.pop(0)
                await old.program.stop()
                meters.append(await place.start_meter(**SMALL))
            else:
                await look_in(place)
            await everybody_has_partitions(meters)
            billed.append((await place.sandbox.totals())["usages"])

        assert billed == sorted(set(billed))
        assert time.monotonic() - started < 60
        await place.everything_ended()
        await place.books_balance()
        read = sum(line["receipts"] for line in events_in_logs(meters, "window.filled"))
        assert read < 3 * 5 * MORE / SMALL["batch__max_events"]


async def everybody_has_partitions(meters: list[Meter]) -> None:
    """The four of the topic are shared, and nobody has none."""

    async def shared() -> bool:
        shares = [len(await meter.partitions()) for meter in meters]
        return sum(shares) == 4 and all(shares)

    await eventually(shared, 30, "every meter has partitions")


async def look_in(place: Installation) -> None:
    """Somebody joins the group, and leaves it again once it has been given a partition: two rebalances."""
    visitor = AIOKafkaConsumer(
        place.topic, bootstrap_servers=place.servers, group_id=place.group, enable_auto_commit=False
    )
    await visitor.start()
    try:
        await eventually(visitor.assignment, 30, "the visitor has partitions")
    finally:
        await visitor.stop()


def events_in_logs(meters: list[Meter], event: str) -> list[dict[str, int]]:
    """Every line of that name that these have logged."""
    lines = [json.loads(line) for meter in meters for line in meter.program.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]
