"""What accounting needs of Kafka, and whole topics through it with the progress told."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from meter.accounting.letters import Case, Cases, read_letter
from meter.errors import CommandFailed
from meter.pipeline import receipt as receipts
from meter.pipeline.event import Record
from meter.pipeline.place import Place
from meter.pipeline.receipt import Receipt
from meter.pipeline.start import Bounds, Committed

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and how much there is."""
Chunk = tuple[int, Sequence[Record]]


class Topics(Protocol):
    """Topics and groups as they are kept; every method raises `Unavailable`."""

    @property
    def cluster_id(self) -> str: ...
    async def partitions(self, topic: str) -> Sequence[int]: ...
    async def bounds(self, topic: str, partitions: Iterable[int]) -> Mapping[int, Bounds]: ...
    async def offsets_at(self, topic: str, partitions: Iterable[int], wall_seconds: float) -> Mapping[int, int]: ...
    async def committed(self, group: str, topic: str) -> Mapping[int, Committed]: ...
    def read(self, topic: str, ranges: Mapping[int, Bounds]) -> AsyncIterator[Chunk]: ...
    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None: ...


async def read_ranges(
    topics: Topics, topic: str, ranges: Mapping[int, Bounds], what: str, progress: Progress
) -> AsyncIterator[Chunk]:
    """Records of these ranges in chunks of one partition; `what` they are is told to `progress`."""
    total, done = sum(bounds.end - bounds.beginning for bounds in ranges.values()), 0
    async for chunk in topics.read(topic, ranges):
        yield chunk
        done += len(chunk[1])
        progress(what, done, total)


async def read_whole(topics: Topics, topic: str, what: str, progress: Progress) -> AsyncIterator[Chunk]:
    """A topic as of now; nothing when there is no such topic."""
    ranges = await topics.bounds(topic, await topics.partitions(topic))
    async for chunk in read_ranges(topics, topic, ranges, what, progress):
        yield chunk


async def made_between(
    topics: Topics, topic: str, since_seconds: float | None, until_seconds: float | None
) -> dict[int, Bounds]:
    """In each partition from the first record made at or after `since` to the first made at or after `until`.

    Without a time, from the first and to the last that is kept. Raises `CommandFailed` when there is no such topic.
    """
    partitions = await topics.partitions(topic)
    if not partitions:
        raise CommandFailed(f"topic {topic} does not exist: check kafka.topic")
    logs = await topics.bounds(topic, partitions)
    since = {} if since_seconds is None else await topics.offsets_at(topic, partitions, since_seconds)
    until = {} if until_seconds is None else await topics.offsets_at(topic, partitions, until_seconds)
    found = {}
    for partition, log in logs.items():
        first = log.beginning if since_seconds is None else since.get(partition, log.end)
        found[partition] = Bounds(first, max(first, until.get(partition, log.end)))
    return found


async def read_receipts(topics: Topics, topic: str, progress: Progress) -> AsyncIterator[tuple[Place, Receipt]]:
    """Every receipt that is kept, whoever wrote it; raises `CommandFailed` for one that only a newer meter can read."""
    async for partition, records in read_whole(topics, topic, "receipts", progress):
        for record in records:
            found = receipts.decode(record.value)
            if found is not None:
                yield Place(topic, partition, record.offset), found
            elif (version := receipts.newer_version(record.value)) is not None:
                raise CommandFailed(
                    f"topic {topic} has receipts of version {version}, but this meter reads only up to "
                    f"{receipts.VERSION}: use the newer version that wrote them"
                )


async def read_cases(topics: Topics, topic: str, progress: Progress) -> list[Case]:
    """The dead-letter topic by origin, without the events themselves: a million letters need not fit into memory."""
    cases = Cases()
    async for partition, records in read_whole(topics, topic, "dead letters", progress):
        for record in records:
            cases.add(read_letter(Place(topic, partition, record.offset), record.headers, record.value))
    return cases.every()


def nobody_listens(what: str, done: int, total: int) -> None:
    """A `Progress` for what is read on the side: the bar shows what is sent."""
