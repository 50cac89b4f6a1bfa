"""Replicas with a name of their own (`kafka.group_instance_id`): replaced at once, and never billing together."""

import signal
import time
import uuid
from pathlib import Path

import pytest
from aiokafka.admin import NewPartitions

from meter.kafka.consumer import KafkaSource
from meter.kafka.internals import client_of
from meter.settings import KafkaSettings
from tests.brokers import Broker, MakeTopic, admin_of
from tests.integration.books import usages
from tests.integration.daemon import installation
from tests.waiting import eventually

NAMED = {"kafka__group_instance_id": "meter-0"}
SESSION_SECONDS = 6.0

pytestmark = pytest.mark.timeout(120)


async def test_a_replacement_waits_until_the_old_one_cannot_be_sending_and_the_old_one_ends(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """M7: the old one holds events and is stopped. The new one has its partitions at once, and sends nothing for a
    session. When the old one wakes, it sends nothing, does not take its place back, and ends with exit code 2."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        sandbox = await place.start_sandbox()
        old = await place.start_meter(**NAMED, batch__max_age_seconds=60)
        await eventually(old.ready, 20, "the old one is ready")
        await place.produce(usages(100, invalid_every=1000))

        async def all_held() -> bool:
            held: int = (await old.status())["events"]["held"]
            return held == 100

        await eventually(all_held, 30, "every event is held, none is sent")
        old.program.signal(signal.SIGSTOP)
        place.meters.remove(old)
        started = time.monotonic()
        new = await place.start_meter(**NAMED)
        await new.says("taking_over", SESSION_SECONDS)
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
    """A restart is no rebalance: the new process has the partitions and bills at once, within the old one's session."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        first = await place.start_meter(**NAMED)
        await place.produce(usages(500))
        await place.everything_ended()
        await first.program.stop()
        await place.produce(usages(500, first=500))

        second = await place.start_meter(**NAMED)
        await place.everything_ended(SESSION_SECONDS)
        assert "take_over.waits" not in second.program.log
        await place.books_balance()


async def test_partitions_that_are_added_are_noticed_though_the_leader_was_replaced(
    broker: Broker, topic: MakeTopic
) -> None:
    """S4: who replaces the group's leader looks out for them, though it has never made an assignment."""
    kafka = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        topic=await topic(),
        group_id=uuid.uuid4().hex,
        group_instance_id="m",
    )
    first, second = Looking(kafka), Looking(kafka)
    await first.sees(4)
    await first.source.close()
    await second.sees(4)
    async with admin_of(kafka.bootstrap_servers) as admin:
        await admin.create_partitions({kafka.topic: NewPartitions(6)})
    await client_of(second.source.consumer).force_metadata_update()  # else it takes half a minute
    await second.sees(6)
    await second.source.close()


class Looking:
    """A member that takes what it is given and does nothing with it."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.source = KafkaSource(kafka, rebalance_timeout_seconds=30)
        self._assigned: frozenset[int] = frozenset()
        self._is_started = False

    async def sees(self, partitions: int) -> None:
        """It polls until it has so many partitions."""
        if not self._is_started:
            self._is_started = True
            await self.source.start(self._revoked, self._given)

        async def polled() -> bool:
            await self.source.poll(1, 0.1)
            return len(self._assigned) == partitions

        await eventually(polled, 20, f"{partitions} partitions are assigned")

    async def _revoked(self, partitions: frozenset[int]) -> None:
        self._assigned = frozenset()

    async def _given(self, partitions: frozenset[int]) -> None:
        self._assigned = partitions
        for partition in partitions:
            self.source.seek(partition, 0)
