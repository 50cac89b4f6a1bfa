"""Redriven events into the source topic, notes of them into the dead-letter topic, every one acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from meter.accounting.outgoing import Outgoing
from meter.accounting.reading import Progress
from meter.accounting.redrive_rules import Note
from meter.cli.broker import producer
from meter.cli.looking_back import looking_back
from meter.errors import CommandFailed
from meter.kafka.archive import Archive
from meter.settings import KafkaSettings


@asynccontextmanager
async def resending(kafka: KafkaSettings) -> AsyncIterator[tuple[Archive, "LetterSender", Progress]]:
    """The topics to look back at, and who writes into them. Raises `Unavailable`, `Unauthenticated`."""
    async with looking_back(kafka) as (archive, progress), producer(kafka) as client:
        yield archive, LetterSender(client, kafka, len(await archive.partitions(kafka.topic))), progress


class LetterSender:
    """The `Sender` of a redrive."""

    def __init__(self, client: AIOKafkaProducer, kafka: KafkaSettings, partitions: int) -> None:
        self._client = client
        self._kafka = kafka
        self._partitions = partitions

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Into the partition that each came from, where its copies are. Raises `CommandFailed`."""
        topic = self._kafka.topic
        if not self._partitions:
            raise CommandFailed(f"topic {topic} does not exist: check kafka.topic")
        await _acknowledged(
            [
                await self._client.send(
                    topic,
                    one.value,
                    key=one.key,
                    partition=one.partition if one.partition < self._partitions else None,
                    headers=list(one.headers),
                )
                for one in outgoing
            ],
            topic,
        )

    async def note(self, notes: Sequence[Note]) -> None:
        """Beside the letters. Raises `CommandFailed`."""
        topic = self._kafka.dead_letter_topic
        waiting = [await self._client.send(topic, b"", key=one.key, headers=list(one.headers)) for one in notes]
        await _acknowledged(waiting, topic)


async def _acknowledged(waiting: "Iterable[asyncio.Future[object]]", topic: str) -> None:
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for result in results:
        if isinstance(result, KafkaError):
            raise CommandFailed(
                f"topic {topic} did not accept everything ({result}): run it again, nothing is lost or billed twice"
            ) from result
        if isinstance(result, BaseException):
            raise result
