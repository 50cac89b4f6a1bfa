"""Lines into the topic, every one acknowledged, in chunks so that memory stays small."""

import asyncio
import itertools
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from meter.cli.broker import partitions_of, producer
from meter.cli.event_lines import GoodLine
from meter.errors import CommandFailed
from meter.settings import KafkaSettings

CHUNK_LINES = 5000
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


async def produce(kafka: KafkaSettings, lines: Iterable[GoodLine], progress: Callable[[int], None]) -> int:
    """Send all lines and return how many; `progress` hears the sum so far. Raises `Unavailable`, `CommandFailed`."""
    sent, rest = 0, iter(lines)
    async with producer(kafka) as client:
        if await partitions_of(client.client, kafka.topic) is None:
            raise CommandFailed(f"topic {kafka.topic} does not exist: create it first, or name another with --topic")
        while chunk := list(itertools.islice(rest, CHUNK_LINES)):
            await _send_chunk(client, kafka.topic, chunk, sent)
            sent += len(chunk)
            progress(sent)
    return sent


async def _send_chunk(client: AIOKafkaProducer, topic: str, chunk: list[GoodLine], before: int) -> None:
    waiting = [await client.send(topic, line.value, key=line.customer.encode()) for line in chunk]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [(line, result) for line, result in zip(chunk, results, strict=True) if isinstance(result, BaseException)]
    if refused:
        # What follows a record that is too large is refused as well: name the cause.
        line, error = next((one for one in refused if isinstance(one[1], _TOO_LARGE)), refused[0])
        if not isinstance(error, KafkaError):
            raise error
        why = (
            f"{len(line.value):,} bytes are more than the broker takes" if isinstance(error, _TOO_LARGE) else str(error)
        )
        taken = before + len(chunk) - len(refused)
        raise CommandFailed(f"line {line.number} was not taken: {why}; events that were: {taken:,}")
