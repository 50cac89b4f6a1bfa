"""Sends the stream to the topic at an even pace, and knows where the broker put each record."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from meter.demo.events import Planned
from meter.demo.expectation import Produced

PACE_SECONDS: Final = 21.0
"""How long the whole stream takes at least."""
_TICK_SECONDS = 0.02


class Producer:
    """One run through the stream, keyed by customer, idempotent, acknowledged by all replicas."""

    def __init__(self, bootstrap_servers: str, topic: str, planned: Sequence[Planned]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._planned = planned
        self.sent_total = 0
        self.seconds = 0.0

    async def run(self, pace_seconds: float = PACE_SECONDS) -> list[Produced]:
        """Send everything, no faster than the pace; returns when all of it is acknowledged."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers, enable_idempotence=True, compression_type="lz4", linger_ms=5
        )
        await producer.start()
        try:
            return await self._send_all(producer, pace_seconds)
        finally:
            await producer.stop()

    async def _send_all(self, producer: AIOKafkaProducer, pace_seconds: float) -> list[Produced]:
        started = time.monotonic()
        waiting: list[tuple[Planned, int, asyncio.Future[RecordMetadata]]] = []
        total = len(self._planned)
        while self.sent_total < total:
            due = min(total, int(total * (time.monotonic() - started) / pace_seconds) + 1)
            for planned in self._planned[self.sent_total : due]:
                waiting.append(await self._send(producer, planned))
                self.sent_total += 1
            await asyncio.sleep(_TICK_SECONDS)
        acknowledged = [_produced(planned, stamp, await place) for planned, stamp, place in waiting]
        self.seconds = time.monotonic() - started
        return acknowledged

    async def _send(
        self, producer: AIOKafkaProducer, planned: Planned
    ) -> tuple[Planned, int, asyncio.Future[RecordMetadata]]:
        stamp = time.time_ns() // 1_000_000
        place = await producer.send(
            self._topic, value=planned.value, key=planned.key, headers=list(planned.headers), timestamp_ms=stamp
        )
        return planned, stamp, place


def _produced(planned: Planned, stamp: int, place: RecordMetadata) -> Produced:
    return Produced(planned, place.partition, place.offset, stamp)
