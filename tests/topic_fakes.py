"""Receipts and dead letters in the Kafka of `tests/kafka_fakes.py`."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from meter.errors import RecordTooLarge, Unavailable
from meter.kafka.dead_letters import DeadLetter, shorter_and_shorter
from tests.kafka_fakes import FakeCluster, Headers


class FakeReceipts:
    """`ReceiptLog` on a FakeCluster."""

    def __init__(self, cluster: FakeCluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic

    async def write(self, partition: int, value: bytes) -> int:
        async with self._cluster.faults.around("receipts.write"):
            return self._cluster.produce(self._topic, value, partition=partition)

    async def read(self, partition: int, start: int) -> AsyncGenerator[Sequence[tuple[int, bytes]], None]:
        async with self._cluster.faults.around("receipts.read"):
            log = self._cluster.log(self._topic, partition)
            chunk = [(record.offset, record.value or b"") for record in log.after(start, len(log.records))]
        for index in range(0, len(chunk), 100):
            await asyncio.sleep(0)
            yield chunk[index : index + 100]

    async def offset_at(self, partition: int, wall_seconds: float) -> int:
        async with self._cluster.faults.around("receipts.offset_at"):
            return self._cluster.log(self._topic, partition).at_time(wall_seconds)

    async def end(self, partition: int) -> int:
        async with self._cluster.faults.around("receipts.end"):
            return self._cluster.log(self._topic, partition).end


class FakeDeadLetters:
    """`DeadLetterLog` on a FakeCluster."""

    def __init__(self, cluster: FakeCluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic

    async def write(self, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        async with self._cluster.faults.around("dead_letters.write"):
            for letter in shorter_and_shorter(DeadLetter(key, value, headers)):
                try:
                    self._cluster.produce(self._topic, letter.value, key=letter.key, headers=letter.headers)
                except RecordTooLarge:
                    continue
                return
            raise Unavailable(f"topic {self._topic} does not even take a dead letter without its value")
