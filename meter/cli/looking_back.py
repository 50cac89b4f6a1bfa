"""The cluster's topics as they are kept, for the length of one command, with a bar for what is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from meter.accounting.reading import Progress
from meter.cli.progress import bars
from meter.kafka.archive import Archive, open_archive
from meter.settings import KafkaSettings


@asynccontextmanager
async def looking_back(kafka: KafkaSettings) -> AsyncIterator[tuple[Archive, Progress]]:
    """Raises `Unavailable`, `Unauthenticated`."""
    async with open_archive(kafka) as archive:
        with bars() as progress:
            yield archive, progress
