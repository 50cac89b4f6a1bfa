"""Records that aiokafka cannot take apart: a header whose name is not UTF-8 stops its partition for ever, and takes
along what other partitions had handed over in the same call.

So positions are noted before each poll and restored after a failed one; then the spoilt part is fetched once more and
taken apart in Python, with the name's bytes replaced. Nothing of the kind is lost or dead-lettered: the event is in
the value.
"""

from itertools import islice
from typing import Any, SupportsIndex

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from meter.errors import Unavailable
from meter.kafka.connection import reaching
from meter.kafka.internals import client_of, positions_of
from meter.pipeline.event import Record

FETCH_BYTES = 262_144  # Python is slow at this; the rest is read in the usual way
FETCH_WAIT_MILLISECONDS = 100
ANSWER_SECONDS = 10.0
FIRST_MAGIC_WITH_HEADERS = 2
FIRST_VERSION_WITH_REPLICA = 11  # the preferred read replica stands behind the aborted transactions


def rewind(consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int]) -> None:
    """What a failed poll has taken comes again."""
    for topic_partition, now in positions_of(consumer).items():
        if positions.get(topic_partition, now) != now:
            consumer.seek(topic_partition, positions[topic_partition])


async def read_leniently(consumer: AIOKafkaConsumer, topic_partition: TopicPartition, max_records: int) -> list[Record]:
    """The next records of the partition, header names repaired; moves its position. Raises `Unavailable`."""
    position = positions_of(consumer).get(topic_partition)
    client = client_of(consumer)
    leader = client.cluster.leader_for_partition(topic_partition)
    if position is None or leader in (None, -1):
        return []
    wanted = [(topic_partition.topic, [(topic_partition.partition, position, FETCH_BYTES)])]
    request = FetchRequest(FETCH_WAIT_MILLISECONDS, 1, FETCH_BYTES, READ_COMMITTED, wanted)
    async with reaching(f"read partition {topic_partition.partition}", ANSWER_SECONDS):
        response = await client.send(leader, request)
    if positions_of(consumer).get(topic_partition) != position or topic_partition in consumer.paused():
        return []  # sought, paused or revoked meanwhile
    ((_, ((_, error_code, _, *answer),)),) = response.topics
    if error_code:
        raise Unavailable(f"cannot read events: {errors.for_code(error_code).__name__}")
    aborted = answer[2] if response.API_VERSION >= FIRST_VERSION_WITH_REPLICA else answer[-2]
    fetched = PartitionRecords(
        topic_partition, _Records(bytes(answer[-1])), aborted, position, None, None, True, READ_COMMITTED
    )
    records: list[Record] = list(islice(fetched, max_records))
    consumer.seek(topic_partition, fetched.next_fetch_offset)
    return records


class _Records(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka ships no types
    """Batches of a fetch answer, taken apart leniently."""

    def next_batch(self) -> object:
        batch = self._next_slice
        if batch is None or batch[self.MAGIC_OFFSET] < FIRST_MAGIC_WITH_HEADERS:
            return super().next_batch()
        self._cache_next()
        return _Batch(batch)


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka ships no types
    """A batch whose text is read from `_Mending` bytes."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Mending):
            self._buffer = _Mending(self._buffer)


class _Mending(bytearray):
    """Bytes that are text in any case: what is not UTF-8 becomes U+FFFD."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        return _Mending(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
