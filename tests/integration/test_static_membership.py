"""Replicas with a name of their own (`kafka.group_instance_id`): replaced at once, and never billing together."""

import asyncio
import signal
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka.admin import NewPartitions

from meter.kafka.consumer import KafkaSource
from meter.kafka.internals import client_of, member_of
from meter.settings import KafkaSettings
from tests.brokers import Broker, MakeTopic, admin_of
from tests.integration.books import usages
from tests.integration.daemon import SLOW, Meter, installation
from tests.waiting import eventually

NAMED = {"kafka__group_instance_id": "meter-0"}
SESSION_SECONDS = 6.0
PATIENT_SECONDS = 60
MORE = 3_000

pytestmark = pytest.mark.timeout(240)


async def test_a_replacement_waits_until_the_old_one_cannot_be_sending_and_the_old_one_ends(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """M7: the old one holds events and is stopped. The new one has its partitions at once, and sends nothing for a
    session. When the old one wakes, it sends nothing, does not take its place back, and ends with exit code 2."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        sandbox = await place.start_sandbox()
        old = await place.start_meter(**NAMED, batch__max_age_seconds=60)
        await eventually(old.ready, 60, "the old one is ready")
        await place.produce(usages(100, invalid_every=1000))

        async def all_held() -> bool:
            held: int = (await old.status())["events"]["held"]
            return held == 100

        await eventually(all_held, 60, "every event is held, none is sent")
        old.program.signal(signal.SIGSTOP)
        place.meters.remove(old)
        started = time.monotonic()
        new = await place.start_meter(**NAMED)
        await new.says("taking_over", 30)
        assert len(await new.partitions()) == 4
        assert (await sandbox.totals())["requests"] == 0

        await place.everything_ended()
        assert time.monotonic() - started > SESSION_SECONDS
        await place.books_balance()
        await sandbox.json("POST", "/sandbox/reset")
        old.program.signal(signal.SIGCONT)

        assert await old.program.end() == 2
        assert "another process has joined group" in old.program.log
        await place.nothing_more_is_sent(2.0)
        assert await new.reasons() == []


async def test_a_replica_that_left_in_order_is_replaced_without_waiting(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """The new process has the partitions and bills, and does not sit out the old one's session."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        first = await place.start_meter(**NAMED)
        await place.produce(usages(500))
        await place.everything_ended()
        await first.program.stop()
        await place.produce(usages(500, first=500))

        second = await place.start_meter(**NAMED)
        await place.everything_ended()
        assert "take_over.waits" not in second.program.log
        await place.books_balance()


async def test_a_rolling_restart_is_no_rebalance_for_those_who_stay(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Two replicas with names are replaced one after the other under load: while one is, the other keeps its partitions
    and is told nothing."""
    patient = {"kafka__session_timeout_seconds": PATIENT_SECONDS}  # a restart on a busy machine must fit into a session
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox(SLOW)

        async def replica(number: int) -> Meter:
            return await place.start_meter(kafka__group_instance_id=f"meter-{number}", **patient)

        meters = [await replica(0), await replica(1)]

        async def shared() -> bool:
            return [len(await meter.partitions()) for meter in meters] == [2, 2]

        await eventually(shared, 60, "each has two partitions")
        for number in (0, 1):
            await place.produce(usages(MORE, first=number * MORE))
            old, other = meters[number], meters[1 - number]
            given = rebalances_of(other)
            await old.program.stop()
            meters[number] = await replica(number)
            await eventually(shared, 60, "the successor has the same number")
            await place.everything_ended()
            assert rebalances_of(other) == given
        await place.books_balance()


def rebalances_of(meter: Meter) -> int:
    """How often it was told to give its partitions back, or was given some."""
    return meter.program.log.count('"partitions.revoked"') + meter.program.log.count('"partitions.assigned"')


async def test_whoever_is_replaced_the_generation_stays(
    broker: Broker, topic: MakeTopic, at_the_end: AsyncExitStack
) -> None:
    """The leader or another one of three: the group is in the same generation, with everybody's partitions the same."""
    name = await topic(partitions=3)
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, topic=name, group_id=name)

    def member(number: int) -> Looking:
        made = Looking(kafka.model_copy(update={"group_instance_id": f"m-{number}"}))
        at_the_end.push_async_callback(made.source.close)
        return made

    group = [member(number) for number in range(3)]
    await asyncio.gather(*(one.sees(1) for one in group))
    generations, shares = {one.generation for one in group}, [one.assigned for one in group]
    for number, old in enumerate(group):
        await old.source.close()
        group[number] = member(number)
        await group[number].sees(1)
        await asyncio.gather(*(one.sees(1) for one in group))
        assert {one.generation for one in group} == generations
        assert [one.assigned for one in group] == shares


async def test_partitions_that_are_added_are_noticed_though_the_leader_was_replaced(
    broker: Broker, topic: MakeTopic, at_the_end: AsyncExitStack
) -> None:
    """S4: who replaces the group's leader looks out for them, though it has never made an assignment."""
    kafka = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        topic=await topic(),
        group_id=uuid.uuid4().hex,
        group_instance_id="m",
    )
    first, second = Looking(kafka), Looking(kafka)
    at_the_end.push_async_callback(first.source.close)
    at_the_end.push_async_callback(second.source.close)
    await first.sees(4)
    await first.source.close()
    await second.sees(4)
    async with admin_of(kafka.bootstrap_servers) as admin:
        await admin.create_partitions({kafka.topic: NewPartitions(6)})
    await client_of(second.source.consumer).force_metadata_update()  # else it takes half a minute
    await second.sees(6)


class Looking:
    """A member that takes what it is given and does nothing with it."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.source = KafkaSource(kafka, rebalance_timeout_seconds=30)
        self.assigned: frozenset[int] = frozenset()
        self._is_started = False

    @property
    def generation(self) -> int:
        """Of its group, as it knows it."""
        member = member_of(self.source.consumer)
        assert member is not None
        return member.generation

    async def sees(self, partitions: int) -> None:
        """It polls until it has so many partitions."""
        if not self._is_started:
            self._is_started = True
            await self.source.start(self._revoked, self._given)

        async def polled() -> bool:
            await self.source.poll(1, 0.1)
            return len(self.assigned) == partitions

        await eventually(polled, 60, f"{partitions} partitions are assigned")

    async def _revoked(self, partitions: frozenset[int]) -> None:
        self.assigned = frozenset()

    async def _given(self, partitions: frozenset[int]) -> None:
        self.assigned = partitions
        for partition in partitions:
            self.source.seek(partition, 0)
