"""Replicas that come, leave, die and sleep while events are held: others go on, and nobody bills twice."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from meter.kafka.internals import member_of
from tests.brokers import Broker, MakeTopic
from tests.integration.books import rows_at, usages
from tests.integration.daemon import SLOW, Installation, Meter, installation
from tests.waiting import eventually

EVENTS = 20_000
STRIKE_AT = 4_000
MORE = 3_000
REBALANCES = 10
DUE_AFTER_SECONDS = 12.0
"""A batch that waits: long enough to stop its process before it is sent."""
SMALL = {"batch__max_events": 150}
"""Two meters bill twice as fast: smaller batches make the work last."""

pytestmark = pytest.mark.timeout(240)


async def two_meters_at_work(place: Installation) -> tuple[Meter, Meter]:
    """Both have partitions, and are in the middle of the work."""
    await place.start_sandbox(SLOW)
    first, second = await place.start_meter(**SMALL), await place.start_meter(**SMALL)

    async def shared() -> bool:
        return (len(await first.partitions()), len(await second.partitions())) == (2, 2)

    await eventually(shared, 60, "each meter has two partitions")
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
        billed = await rows_at(sandbox.url)
        await sandbox.json("POST", "/sandbox/reset")
        sleeper.program.signal(signal.SIGCONT)
        place.meters.append(sleeper)

        await eventually(sleeper.ready, 60, "the sleeper is a member again")
        await place.nothing_more_is_sent()
        assert await sandbox.totals() == {"usages": 0, "units": 0, "duplicates": 0, "requests": 0}
        await place.everything_ended()
        await place.books_balance(billed)


async def test_a_replica_that_wakes_with_a_batch_due_does_not_send_it(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """M1 again, with nothing in flight that would hold the sleeper up: its batch is due in the moment it wakes, before
    it can have heard of the rebalance, and only the lease keeps it from billing what another one has billed."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        sandbox = await place.start_sandbox()
        sleeper = await place.start_meter(batch__max_age_seconds=DUE_AFTER_SECONDS)
        await eventually(sleeper.ready, 60, "the sleeper is ready")
        await place.produce(usages(100, invalid_every=1000))
        produced = time.monotonic()

        async def all_held() -> bool:
            held: int = (await sleeper.status())["events"]["held"]
            return held == 100

        await eventually(all_held, DUE_AFTER_SECONDS, "every event is held, none is sent")
        sleeper.program.signal(signal.SIGSTOP)
        place.meters.remove(sleeper)
        await place.start_meter()
        await place.everything_ended()
        billed = await rows_at(sandbox.url)
        await eventually(lambda: time.monotonic() > produced + DUE_AFTER_SECONDS, 60, "the sleeper's batch is due")
        await sandbox.json("POST", "/sandbox/reset")
        sleeper.program.signal(signal.SIGCONT)

        async def all_released() -> bool:
            released: int = (await sleeper.status())["events"]["released"]
            return released == 100

        await eventually(all_released, 60, "the sleeper knows that its events are not its own any more")
        await place.nothing_more_is_sent()
        assert (await sandbox.totals())["requests"] == 0
        await place.books_balance(billed)


async def test_three_replicas_restarted_one_after_the_other_under_load_go_on_through_ten_rebalances(
    broker: Broker, topic: MakeTopic, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """M9, and an upgrade as it is done: every restart is a rebalance or two, a member that only looks in makes the
    rest. After each of them events end, and nobody who has a window reads it from its beginning again."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox({**SLOW, "seconds": 0.4})
        meters = [await place.start_meter(**SMALL) for _ in range(3)]
        await everybody_has_partitions(meters)
        generations = [await look_in(place)]
        await everybody_has_partitions(meters)
        turns, billed, started = 0, 0, time.monotonic()

        while generations[-1] < generations[0] + REBALANCES:
            await place.produce(usages(MORE, first=turns * MORE))
            turns += 1
            await place.strike_moment(billed + 1, turns * MORE)
            if turns <= 3:
                old = meters.pop(0)
                await old.program.stop()
                meters.append(await place.start_meter(**SMALL))
                await everybody_has_partitions(meters)
            generations.append(await look_in(place))
            await everybody_has_partitions(meters)
            billed = (await place.sandbox.totals())["usages"]

        record_property("said", f"{generations[-1] - generations[0]} rebalances in {time.monotonic() - started:.0f} s")
        await place.everything_ended()
        await place.books_balance()
        read = sum(line["receipts"] for line in events_in_logs(meters, "window.filled"))
        assert read < 3 * turns * MORE / SMALL["batch__max_events"]


async def everybody_has_partitions(meters: list[Meter]) -> None:
    """The four of the topic are shared, and nobody has none."""

    async def shared() -> bool:
        shares = [len(await meter.partitions()) for meter in meters]
        return sum(shares) == 4 and all(shares)

    await eventually(shared, 60, "every meter has partitions")


async def look_in(place: Installation) -> int:
    """Somebody joins the group, and leaves it again once it has been given a partition: two rebalances. The group's
    generation in between."""
    visitor = AIOKafkaConsumer(
        place.topic, bootstrap_servers=place.servers, group_id=place.group, enable_auto_commit=False
    )
    await visitor.start()
    try:
        await eventually(visitor.assignment, 60, "the visitor has partitions")
        member = member_of(visitor)
        assert member is not None
        return member.generation
    finally:
        await visitor.stop()


def events_in_logs(meters: list[Meter], event: str) -> list[dict[str, int]]:
    """Every line of that name that these have logged."""
    lines = [json.loads(line) for meter in meters for line in meter.program.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]
