"""Lines into the topic: idempotent, every one acknowledged by all replicas, in chunks so that memory stays small."""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from meter.cli.broker import connected
from meter.cli.event_lines import GoodLine
from meter.errors import CommandFailed

if TYPE_CHECKING:  # aiokafka is loaded when a command runs
    from aiokafka import AIOKafkaProducer

    from meter.settings import KafkaSettings

CHUNK_LINES = 5000
LARGEST_REQUEST_BYTES = 256 * 1024 * 1024  # the broker decides what is too large, not the client
PRODUCER_OPTIONS = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 20,
    "max_batch_size": 128 * 1024,
    "max_request_size": LARGEST_REQUEST_BYTES,
}


async def produce(kafka: "KafkaSettings", lines: Iterable[GoodLine], progress: Callable[[int], None]) -> int:
    """Send all lines and return how many; `progress` hears the sum so far. Raises `Unavailable`, `CommandFailed`."""
    from aiokafka import AIOKafkaProducer

    sent, rest = 0, iter(lines)
    async with connected(kafka, AIOKafkaProducer, **PRODUCER_OPTIONS) as producer:
        await _require_topic(producer, kafka.topic)
        while chunk := list(itertools.islice(rest, CHUNK_LINES)):
            await _send_chunk(producer, kafka.topic, chunk, sent)
            sent += len(chunk)
            progress(sent)
    return sent


async def _require_topic(producer: "AIOKafkaProducer", topic: str) -> None:
    """Asked by listing: asking for the topic by name would create it on brokers that do so."""
    cluster = await producer.client.fetch_all_metadata()
    if topic not in cluster.topics():
        raise CommandFailed(f"topic {topic} does not exist: create it first, or name another with --topic")


async def _send_chunk(producer: "AIOKafkaProducer", topic: str, chunk: list[GoodLine], before: int) -> None:
    from aiokafka.errors import KafkaError

    try:
        waiting = [await producer.send(topic, line.value, key=line.customer.encode()) for line in chunk]
    except KafkaError as error:
        raise CommandFailed(f"sending stopped after {before:,} events: {error}") from None
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for line, result in zip(chunk, results, strict=True):
        if isinstance(result, BaseException):
            acknowledged = before + sum(not isinstance(one, BaseException) for one in results)
            raise CommandFailed(f"line {line.number} was not taken, {acknowledged:,} events were: {result}")
