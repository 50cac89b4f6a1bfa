"""Looking back: any topic of the cluster, read without a group, and what a group has committed.

For whoever shows afterwards what became of each record. Nothing is changed by looking.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from meter.kafka.connection import answered, client_options, reaching, shut, starting
from meter.kafka.internals import client_of, positions_of, spoilt_partition
from meter.kafka.unreadable import read_leniently, rewind
from meter.pipeline.event import Record
from meter.pipeline.start import Bounds, Committed
from meter.settings import KafkaSettings

ANSWER_SECONDS = 10.0
STALLED_SECONDS = 30.0
_POLL_MILLISECONDS = 1000
_FETCH_BYTES = 4 * 1024 * 1024


class Archive:
    """The cluster's topics as they are kept; every method raises `Unavailable`."""

    def __init__(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, cluster_id: str) -> None:
        self.cluster_id = cluster_id
        self._consumer = consumer
        self._admin = admin

    async def partitions(self, topic: str) -> Sequence[int]:
        """Its partitions, none when there is no such topic: asking by name would create it on some brokers."""
        cluster = await answered(f"look up topic {topic}", ANSWER_SECONDS, client_of(self._consumer).fetch_all_metadata)
        return sorted(cluster.partitions_for_topic(topic) or ())

    async def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, Bounds]:
        """What the log holds."""
        places = [TopicPartition(topic, number) for number in partitions]
        async with reaching(f"look at topic {topic}", ANSWER_SECONDS):
            beginnings = await self._consumer.beginning_offsets(places)
            ends = await self._consumer.end_offsets(places)
        return {place.partition: Bounds(beginnings[place], ends[place]) for place in places}

    async def offsets_at(self, topic: str, partitions: Iterable[int], wall_seconds: float) -> dict[int, int]:
        """The first record made at or after this time; partitions without one are left out."""
        moments = {TopicPartition(topic, number): max(0, int(wall_seconds * 1000)) for number in partitions}
        found = await answered("look up a time", ANSWER_SECONDS, lambda: self._consumer.offsets_for_times(moments))
        return {place.partition: at.offset for place, at in found.items() if at is not None}

    async def committed(self, group: str, topic: str) -> dict[int, Committed]:
        """What the group has committed, with its notes; partitions without a commit are left out."""
        found = await answered(
            f"read the offsets of group {group}",
            ANSWER_SECONDS,
            lambda: self._admin.list_consumer_group_offsets(group),
        )
        return {
            place.partition: Committed(commit.offset, commit.metadata or "")
            for place, commit in found.items()
            if place.topic == topic and commit.offset >= 0
        }

    async def read(self, topic: str, ranges: Mapping[int, Bounds]) -> AsyncIterator[tuple[int, Sequence[Record]]]:
        """Every committed record of these ranges in chunks of one partition, ascending within each.

        What has fallen out of retention is missing. One reading at a time.
        """
        wanted = {TopicPartition(topic, number): bounds for number, bounds in ranges.items()}
        unread = {place for place, bounds in wanted.items() if bounds.beginning < bounds.end}
        self._consumer.assign(list(unread))
        for place in unread:
            self._consumer.seek(place, wanted[place].beginning)
        while unread := await self._unread(unread, wanted):
            for place, records in (await self._poll(topic, unread)).items():
                kept = [record for record in records if record.offset < wanted[place].end]
                if kept:
                    yield place.partition, kept

    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """One record; None when it is no longer, or not yet, or was never there."""
        bounds = (await self.bounds(topic, [partition]))[partition]
        if not bounds.beginning <= offset < bounds.end:
            return None
        async for _, records in self.read(topic, {partition: Bounds(offset, offset + 1)}):
            return next((record for record in records if record.offset == offset), None)
        return None

    async def _unread(
        self, places: set[TopicPartition], wanted: Mapping[TopicPartition, Bounds]
    ) -> set[TopicPartition]:
        async with reaching("read from Kafka", STALLED_SECONDS):
            done = {place for place in places if await self._consumer.position(place) >= wanted[place].end}
        if done:
            self._consumer.pause(*done)
        return places - done

    async def _poll(self, topic: str, places: set[TopicPartition]) -> Mapping[TopicPartition, Sequence[Record]]:
        before = positions_of(self._consumer)
        try:
            async with reaching(f"read topic {topic}", STALLED_SECONDS):
                polled: Mapping[TopicPartition, Sequence[Record]] = await self._consumer.getmany(
                    *places, timeout_ms=_POLL_MILLISECONDS
                )
                return polled
        except UnicodeDecodeError:
            spoilt = spoilt_partition(self._consumer)
            if spoilt is None:
                raise
            rewind(self._consumer, before)
            return {spoilt: await read_leniently(self._consumer, spoilt, 500)}


@asynccontextmanager
async def open_archive(kafka: KafkaSettings) -> AsyncIterator[Archive]:
    """Raises `Unavailable`, `Unauthenticated`."""
    consumer = AIOKafkaConsumer(
        **client_options(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        async with starting(kafka):
            await consumer.start()
            await admin.start()
            cluster_id = (await admin.describe_cluster())["cluster_id"] or ""
        yield Archive(consumer, admin, cluster_id)
    finally:
        await shut(consumer.stop(), client_of(consumer))
        await shut(admin.close(), client_of(admin))
