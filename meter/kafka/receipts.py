"""Receipts, as bytes: written into the partition of the same number, read back from any offset to the end.

Receipts are written at least once: a write whose outcome is unknown is given again, and readers take one end per
offset.
"""

from collections.abc import AsyncGenerator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from meter.errors import Unavailable
from meter.kafka.connection import answered, client_options, closing_on_failure, reaching, shut, starting
from meter.kafka.internals import client_of
from meter.kafka.topics import grow_receipts
from meter.kafka.writer import Writer
from meter.pipeline.start import Bounds
from meter.settings import KafkaSettings

ANSWER_SECONDS = 10.0
STALLED_SECONDS = 15.0  # so long without a byte of what the log says it has
CHUNK_BYTES = 4_194_304
CHUNK_RECEIPTS = 500
"""Small ones are taken apart one by one: thousands of them would hold the loop."""

Chunk = Sequence[tuple[int, bytes]]


class KafkaReceipts:
    """The receipts topic. `start` it, `close` it."""

    def __init__(self, kafka: KafkaSettings, writer: Writer) -> None:
        self._kafka = kafka
        self._topic = kafka.receipts_topic
        self._writer = writer
        self._asking: AIOKafkaConsumer | None = None
        self._highest: dict[int, int] = {}
        self._found: set[int] = set()

    async def start(self) -> None:
        """Raises `Unavailable` or `Unauthenticated`."""
        self._asking = await self._reader()

    async def write(self, partition: int, value: bytes) -> int:
        """Returns the receipt's offset once it is acknowledged, or a lower one when the broker does not say.

        Raises `RecordTooLarge` (split it), `Unavailable` (give it again: it may or may not be written).
        """
        await self._find(partition)
        offset = await self._writer.write(self._topic, value, partition=partition)
        self._highest[partition] = max(offset, self._highest.get(partition, 0))
        return offset if offset >= 0 else self._highest[partition]

    async def read(self, partition: int, start: int) -> AsyncGenerator[Chunk, None]:
        """All receipts from `start` (or the log's beginning) to the end as of now, in chunks of (offset, value).

        Raises `Unavailable`; what was yielded before is good. Close the iterator when leaving it early.
        """
        await self._find(partition)
        topic_partition = TopicPartition(self._topic, partition)
        reader = await self._reader()
        try:
            bounds = await _bounds(reader, topic_partition)
            position = max(start, bounds.beginning)
            reader.assign([topic_partition])
            reader.seek(topic_partition, position)
            while position < bounds.end:
                chunk, position = await _next_chunk(reader, topic_partition, position)
                below_end = [(offset, value) for offset, value in chunk if offset < bounds.end]
                if below_end:
                    yield below_end
        finally:
            await _shut(reader)

    async def offset_at(self, partition: int, wall_seconds: float) -> int:
        """The first receipt written at or after this time; the end when there is none."""
        await self._find(partition)
        asking, topic_partition = self._asked(), TopicPartition(self._topic, partition)
        moments = {topic_partition: max(0, int(wall_seconds * 1000))}
        found = await answered("look up receipts by time", ANSWER_SECONDS, lambda: asking.offsets_for_times(moments))
        at = found[topic_partition]
        return at.offset if at is not None else await self.end(partition)

    async def end(self, partition: int) -> int:
        """The offset after the last receipt."""
        await self._find(partition)
        return (await _bounds(self._asked(), TopicPartition(self._topic, partition))).end

    async def close(self) -> None:
        """Never raises, bounded in time."""
        asking, self._asking = self._asking, None
        if asking is not None:
            await _shut(asking)

    def _asked(self) -> AIOKafkaConsumer:
        if self._asking is None:
            raise Unavailable("receipts cannot be read: not connected to Kafka")
        return self._asking

    async def _find(self, partition: int) -> None:
        """Raises `Unavailable` when there is no such partition, nor the right to add it: the source has grown.

        Asked before reading as well: the tail of an added partition is read before its first receipt is written.
        """
        if partition in self._found:
            return
        self._found = await self._writer.partitions(self._topic)
        if partition not in self._found and self._kafka.create_topics:
            await grow_receipts(self._kafka, partition + 1)
            self._found = await self._writer.partitions(self._topic)
        if partition not in self._found:
            raise Unavailable(f"topic {self._topic} has no partition {partition}: it needs as many as the source")

    async def _reader(self) -> AIOKafkaConsumer:
        reader = AIOKafkaConsumer(
            **client_options(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=CHUNK_BYTES,
        )
        async with closing_on_failure(lambda: _shut(reader)), starting(self._kafka):
            await reader.start()
        return reader


async def _shut(reader: AIOKafkaConsumer) -> None:
    await shut(reader.stop(), client_of(reader))


async def _bounds(reader: AIOKafkaConsumer, topic_partition: TopicPartition) -> Bounds:
    async with reaching("ask where receipts begin and end", ANSWER_SECONDS):
        beginnings = await reader.beginning_offsets([topic_partition])
        ends = await reader.end_offsets([topic_partition])
    return Bounds(beginnings[topic_partition], ends[topic_partition])


async def _next_chunk(
    reader: AIOKafkaConsumer, topic_partition: TopicPartition, position: int
) -> tuple[list[tuple[int, bytes]], int]:
    """Records from `position` on, and the position after them; it moves without records over gaps and markers."""
    async with reaching(f"read receipts of partition {topic_partition.partition}", STALLED_SECONDS):
        after = position
        while after == position:
            try:
                taken = await reader.getmany(timeout_ms=200, max_records=CHUNK_RECEIPTS)
            except errors.OffsetOutOfRangeError:  # expired under our hands
                reader.seek(topic_partition, (await _bounds(reader, topic_partition)).beginning)
                taken = {}
            after = await reader.position(topic_partition)
    records = taken.get(topic_partition, ())
    return [(record.offset, record.value) for record in records if record.value is not None], after
