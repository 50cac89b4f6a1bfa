"""Lines into the topic, every one acknowledged, in chunks so that memory stays small."""

import asyncio
import itertools
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from meter.accounting.pace import Pace
from meter.cli.broker import partitions_of, producer
from meter.cli.event_lines import GoodLine
from meter.clock import SystemClock
from meter.errors import CommandFailed
from meter.pipeline.headers import KEY
from meter.settings import KafkaSettings

CHUNK_LINES = 5000
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


async def produce(
    kafka: KafkaSettings, lines: Iterable[GoodLine], per_second: float | None, progress: Callable[[int, int], None]
) -> int:
    """Send all lines and return how many; raises `Unavailable`, `CommandFailed`.

    `progress` hears the sum so far, and the number of the line up to which everything is acknowledged.
    """
    sent, rest = 0, iter(lines)
    pace = Pace(per_second, CHUNK_LINES, SystemClock(), asyncio.sleep)
    async with producer(kafka) as client:
        if await partitions_of(client.client, kafka.topic) is None:
            raise CommandFailed(f"topic {kafka.topic} does not exist: create it first, or name another with --topic")
        while chunk := list(itertools.islice(rest, pace.at_once)):
            await pace.step(len(chunk))
            await _send_chunk(client, kafka.topic, chunk, sent)
            sent += len(chunk)
            progress(sent, chunk[-1].number)
    return sent


async def _send_chunk(client: AIOKafkaProducer, topic: str, chunk: list[GoodLine], before: int) -> None:
    waiting = [
        await client.send(topic, line.value, key=line.customer.encode(), headers=_headers(line)) for line in chunk
    ]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [(line, result) for line, result in zip(chunk, results, strict=True) if isinstance(result, BaseException)]
    if refused:
        # What follows a record that is too large is refused as well: name the cause.
        line, error = next((one for one in refused if isinstance(one[1], _TOO_LARGE)), refused[0])
        if not isinstance(error, KafkaError):
            raise error
        why = (
            f"{len(line.value):,} bytes is more than the broker accepts"
            if isinstance(error, _TOO_LARGE)
            else str(error)
        )
        taken, next_line = before + len(chunk) - len(refused), refused[0][0].number
        raise CommandFailed(
            f"line {line.number} was not accepted: {why}; all lines before line {next_line} were: continue with "
            f"--from-line {next_line}; events sent: {taken:,}"
        )


def _headers(line: GoodLine) -> list[tuple[str, bytes]]:
    return [(KEY, line.key.encode())] if line.key else []
