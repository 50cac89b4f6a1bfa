"""`meter audit`: from topics alone, every record below the commit has exactly one end; and the provider agrees.

Commits are read first, then receipts and dead letters, then the source: so whatever is missing below a commit is
missing, and not merely late.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from meter.accounting.letters import read_letter
from meter.accounting.offsets import OffsetLedger
from meter.accounting.provider import Provider
from meter.accounting.reading import Chunk, Progress, Topics, made_between, read_ranges, read_receipts, read_whole
from meter.accounting.report import Findings, PartitionFindings
from meter.accounting.trail import Trail
from meter.accounting.usage import AcceptedUsage, Books, Comparison, Usage
from meter.errors import Unavailable
from meter.pipeline.event import InvalidEvent, Origin, Record, UsageEvent, read_back
from meter.pipeline.place import Place, place_of
from meter.pipeline.settlement import CONFLICT
from meter.pipeline.start import Bounds, Committed, decode_note


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be audited; without times all that is retained."""

    trail: Trail
    since_seconds: float | None = None
    until_seconds: float | None = None


async def audit(topics: Topics, question: Question, provider: Provider | None, progress: Progress) -> Findings:
    """The findings; without a provider from Kafka alone.

    Raises `CommandFailed` (no such topic, receipts of a newer version), `Unavailable`.
    """
    return await _Audit(topics, question, provider, progress).run()


class _Audit:
    """One run; the parts read one topic each."""

    def __init__(self, topics: Topics, question: Question, provider: Provider | None, progress: Progress) -> None:
        self._topics = topics
        self._question = question
        self._trail = question.trail
        self._provider = provider
        self._progress = progress
        self._ledgers: dict[int, OffsetLedger] = {}
        self._ranges: dict[int, Bounds] = {}
        self._open: Counter[int] = Counter()
        self._accepted = AcceptedUsage()
        self._skipped = 0
        self._foreign_receipts = 0
        self._expired: dict[str, int] = {}

    async def run(self) -> Findings:
        """From the commits to the provider."""
        await self._find_ranges()
        for topic in (self._trail.receipts_topic, self._trail.dead_letter_topic):
            logs = await self._topics.bounds(topic, await self._topics.partitions(topic))
            self._expired[topic] = sum(log.beginning for log in logs.values())
        await self._read_receipts()
        await self._read_dead_letters()
        await self._read_source()
        return await self._findings()

    async def _find_ranges(self) -> None:
        topics, trail, question = self._topics, self._trail, self._question
        committed = await topics.committed(trail.owner.group, trail.topic)
        asked = await made_between(topics, trail.topic, question.since_seconds, question.until_seconds)
        starts = await self._chosen_starts(list(asked), committed)
        for partition, (first, end) in asked.items():
            start = max(first, min(starts.get(partition, first), end))
            self._skipped += start - first
            ended = committed[partition].offset if partition in committed else start
            self._ledgers[partition] = OffsetLedger(start, min(end, ended))
            self._ranges[partition] = Bounds(start, max(start, end))

    async def _chosen_starts(self, partitions: Sequence[int], committed: Mapping[int, Committed]) -> Mapping[int, int]:
        """Where partitions started that were there when somebody chose `latest`: what is below was never ours."""
        notes = [decode_note(commit.metadata).choice for commit in committed.values()]
        made = [choice for choice in notes if choice is not None]
        choice = min(made, key=lambda one: one.at, default=None)
        if choice is None or choice.start_from != "latest":
            return {}
        there = [partition for partition in partitions if partition < choice.partitions]
        found = await self._topics.offsets_at(self._trail.topic, there, choice.at)
        return {partition: found.get(partition, self._committed_at(committed, partition)) for partition in there}

    def _committed_at(self, committed: Mapping[int, Committed], partition: int) -> int:
        return committed[partition].offset if partition in committed else 0

    async def _read_receipts(self) -> None:
        async for _, found in read_receipts(self._topics, self._trail.receipts_topic, self._progress):
            if found.partition not in self._ledgers:
                continue
            if found.owner == self._trail.owner:
                self._accepted.add_elsewhere(self._ledgers[found.partition].receipt(found))
            else:
                self._foreign_receipts += 1

    async def _read_dead_letters(self) -> None:
        topic = self._trail.dead_letter_topic
        async for partition, records in self._whole(topic, "dead letters"):
            for record in records:
                letter = read_letter(Place(topic, partition, record.offset), record.headers, None)
                died = place_of(letter.died)
                if letter.is_note or died is None or died.topic != self._trail.topic:
                    continue
                ledger = self._ledgers.get(died.partition)
                if ledger is not None and ledger.first <= died.offset < ledger.end:
                    ledger.dead_letter(died.offset)
                    if letter.reason != CONFLICT:  # its key is that of the event that was billed
                        self._accepted.add_dead_letter(letter.key)

    async def _read_source(self) -> None:
        async for partition, records in read_ranges(
            self._topics, self._trail.topic, self._ranges, "the source", self._progress
        ):
            ledger = self._ledgers[partition]
            ended = [record for record in records if record.offset < ledger.end]
            self._open[partition] += len(records) - len(ended)
            if ended:
                self._tick_off(partition, ledger, ended)

    def _tick_off(self, partition: int, ledger: OffsetLedger, records: Sequence[Record]) -> None:
        origin = Origin(self._topics.cluster_id, self._trail.topic, partition)
        events = [read_back(record, origin) for record in records]
        keys = [event.key for event in events]
        accepted = ledger.records([record.offset for record in records], keys)
        usages = [_usage(event) for event in events]
        units = [event.units if isinstance(event, UsageEvent) else 0 for event in events]
        self._accepted.add(keys, usages, units, accepted)

    async def _findings(self) -> Findings:
        books = self._accepted.books()
        comparison, why_not = await _compare(books, self._provider)
        undebited: Counter[str] = Counter()
        for ledger in self._ledgers.values():
            undebited += ledger.undebited()
        return Findings(
            topic=self._trail.topic,
            group=self._trail.owner.group,
            partitions=[self._partition(partition, ledger) for partition, ledger in self._ledgers.items()],
            undebited=undebited,
            accepted=books.ours(),
            comparison=comparison,
            not_verifiable=why_not,
            foreign_receipts=self._foreign_receipts,
            skipped=self._skipped,
            expired={topic: records for topic, records in self._expired.items() if records},
        )

    def _whole(self, topic: str, what: str) -> AsyncIterator[Chunk]:
        return read_whole(self._topics, topic, what, self._progress)

    def _partition(self, partition: int, ledger: OffsetLedger) -> PartitionFindings:
        ends, gaps, overtaken = ledger.ends(), ledger.gaps(), ledger.overtaken()
        return PartitionFindings(partition, ledger.first, ledger.end, self._open[partition], ends, gaps, overtaken)


async def _compare(books: Books, provider: Provider | None) -> tuple[Comparison | None, str]:
    """What the provider's rows say, or why it cannot be asked."""
    if provider is None:
        return None, ""
    try:
        async for rows in provider.rows():
            books.tick(rows)
    except Unavailable as error:
        return None, str(error)
    return books.compare(), ""


_NOBODY = Usage("", "")


def _usage(event: UsageEvent | InvalidEvent) -> Usage:
    return Usage(event.customer, event.product) if isinstance(event, UsageEvent) else _NOBODY
