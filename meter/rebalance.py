"""Taking partitions over and handing them on: what happens between two assignments."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from meter.committer import Committer
from meter.edges import Ports, Spawn
from meter.errors import NoStartingPoint, Redelivered, Unavailable
from meter.pipeline import receipt as receipts
from meter.pipeline.machine import Machine
from meter.pipeline.start import (
    CLOCKS_SECONDS,
    Bounds,
    Choice,
    CommitNote,
    Committed,
    Refused,
    Start,
    StartFrom,
    choose,
    encode_note,
    plan_starts,
    were_given_back,
)

log = structlog.stdlib.get_logger(__name__)

FILLS_AT_ONCE = 4
"""Windows read at the same time: each reader has a client of its own, which fetches up to 4 MB ahead."""
RETRY_SECONDS = 0.5
POLL_SECONDS = 0.02
REMEMBERED_AT_A_TIME = 2000
"""Ids of receipts, before the loop turns to other things: one or two milliseconds."""
RECEIPT_COSTS_IDS = 60
"""So many ids are remembered in the time that a receipt takes by itself."""


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """What joining and leaving the group depend on."""

    topic: str
    group_id: str
    start_from: StartFrom
    window_seconds: float
    window_max_ids: int
    hand_over_seconds: float
    """How long a revocation waits for what is under way; less than the group's rebalance timeout."""
    assignment_seconds: float = 12.0
    """How long taking over may last: a commit of ours made after another rebalance had begun would still be accepted,
    and the lease that it gives must end before that rebalance does."""
    take_over_seconds: float = 0.0
    """How long an earlier owner that gave nothing back may still be sending; 0 where the group sees to that."""
    stalled_after_seconds: float = 30.0
    """How long the client may deliver nothing although the broker has records."""
    ends_every_seconds: float = 2.0
    """How often the ends of the log are looked up."""


class RebalanceListener:
    """One event source's listener: does what the group says of partitions, and tells the machine."""

    def __init__(
        self,
        machine: Machine,
        ports: Ports,
        committer: Committer,
        options: GroupOptions,
        spawn: Spawn,
        changed: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._source = ports.source
        self._committer = committer
        self._receipts = ports.receipts
        self._clock = ports.clock
        self._options = options
        self._spawn = spawn
        self._changed = changed
        self._room_to_fill = asyncio.Semaphore(FILLS_AT_ONCE)
        self._fills: list[asyncio.Task[None]] = []
        self._giving_back = asyncio.Lock()
        self._has_ended = False
        self.joined = False
        """An assignment is in force."""
        self.was_joined = False
        """There has been one."""
        self.filling_waits: dict[int, str] = {}
        """Why the receipts of a partition cannot be read now."""

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        """Nothing new is sent; what is under way may end, is committed, and the rest is released."""
        self.joined = False
        async with self._giving_back:  # by the group's wish and by our own at the same time
            if not self._machine.assignment.partitions():
                await self._stop_filling()
                return
            self._machine.hand_over()
            self._changed()
            await asyncio.gather(self._stop_filling(), self.quiet(self._options.hand_over_seconds))
            await self._commit_last()
            self._committer.end()
            self._machine.revoked(self._clock.now())
            self._changed()
            log.info("partitions.revoked", partitions=sorted(partitions), released_total=self._machine.counts.released)

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Each partition begins where it should, has a commit there, and fills its window before its first record."""
        if not partitions:
            self.joined = self.was_joined = True
            return
        try:
            async with asyncio.timeout(self._options.assignment_seconds):
                started, starts, choice, wait_seconds = await self._commit_starts(partitions)
        except TimeoutError:
            limit = f"{self._options.assignment_seconds:g} s"
            raise Unavailable(f"partitions could not be taken over within {limit}: Kafka answers too slowly") from None
        if self._has_ended:
            return
        for partition, start in starts.items():
            self._source.seek(partition, start.offset)
            if start.lost is not None:
                self._lost(partition, start.lost.beginning, start.lost.end)
            if start.beyond is not None:
                self._cut(partition, start, start.beyond)
        self._machine.commits.wait(until_seconds=started + wait_seconds)
        self._machine.assigned(self._source.cluster_id, starts, choice, started, self._clock.now())
        self._fills = [self._spawn(self._fill(partition)) for partition in sorted(partitions)]
        self.joined = self.was_joined = True
        self._changed()
        if wait_seconds:
            log.info(
                "take_over.waits",
                seconds=wait_seconds,
                why="the previous owner of these partitions may still be sending",
            )
        log.info("partitions.assigned", partitions={partition: start.offset for partition, start in starts.items()})

    async def leave(self) -> None:
        """As a revocation, but for good; what was sent for earlier assignments may end as well."""
        self.end()
        if self._machine.assignment.partitions():
            await self.on_revoked(frozenset(self._machine.assignment.partitions()))
        else:
            await self.quiet(self._options.hand_over_seconds)

    def end(self) -> None:
        """Whatever the group assigns from now on is not taken over."""
        self._has_ended = True
        self.joined = False

    async def skip_lost(self, positions: Mapping[int, int]) -> None:
        """Positions have fallen out of retention: go on at the log's start, and say what is missing."""
        epochs = self._machine.assignment.live_epochs()
        bounds = await self._source.bounds(positions)
        if self._machine.assignment.live_epochs() != epochs:
            return  # whoever has them now starts over
        for partition, position in positions.items():
            beginning = bounds[partition].beginning
            if beginning <= position:
                raise Unavailable(f"partition {partition} no longer reaches offset {position}: the topic was recreated")
            try:
                self._source.seek(partition, beginning)
            except Redelivered:
                return
            self._machine.advance(partition, beginning)
            self._lost(partition, position, beginning)

    async def quiet(self, limit_seconds: float) -> None:
        """Waits until nothing is under way and nobody can still be inserting, or until the limit has passed."""
        deadline = self._clock.now().steady_seconds + limit_seconds
        while not self._is_quiet():
            if self._clock.now().steady_seconds >= deadline:
                log.warning("hand_over.incomplete", after_seconds=limit_seconds)
                return
            await asyncio.sleep(POLL_SECONDS)

    def _is_quiet(self) -> bool:
        return self._machine.is_quiet(self._clock.now()) and not self._machine.commits.is_outstanding()

    async def _commit_last(self) -> None:
        commits = self._machine.commits
        if commits.is_outstanding():
            return  # nobody knows what became of it, and a second one might be overtaken by it
        last = self._machine.last_commits(self._clock.now())
        commits.start(last, self._clock.now().steady_seconds)
        try:
            await self._committer.commit(last)
        except (Redelivered, Unavailable) as error:  # its events will be delivered again and are recognised
            log.info("commit.too_late", reason=str(error))
        else:
            self._machine.committed(self._clock.now())
        finally:
            if commits.is_outstanding():
                self._machine.commit_failed(lost=True)

    async def _commit_starts(self, partitions: frozenset[int]) -> tuple[float, dict[int, Start], Choice, float]:
        """Decides the starts and commits them, so that a choice once made is never made again.

        The last number: for how many seconds after that commit an earlier owner may still be sending.
        """
        everywhere = partitions | set(range(await self._source.partition_count()))
        committed = await self._source.committed(everywhere)
        bounds = await self._source.bounds(everywhere)
        choice = choose(committed, bounds, self._options.start_from, self._clock.now().wall_seconds)
        if isinstance(choice, Refused):
            raise NoStartingPoint(self._no_starting_point(choice, await self._source.oldest_at(everywhere)))
        starts = await self._look_up(plan_starts(partitions, committed, bounds, choice))
        started, at, notes = self._clock.now().steady_seconds, self._clock.now().wall_seconds, {}
        for partition, start in starts.items():
            notes[partition] = Committed(start.offset, encode_note(CommitNote(choice, start.receipts_offset, at=at)))
        await self._committer.begin(notes)
        wait_seconds = 0.0 if were_given_back(partitions, committed) else self._options.take_over_seconds
        return started, starts, choice, wait_seconds

    async def _look_up(self, starts: Mapping[int, Start]) -> dict[int, Start]:
        """Starts that name a time, with the offset of that time."""
        found = dict(starts)
        for partition, start in starts.items():
            if start.at_seconds is not None:
                offsets = await self._source.offsets_at([partition], start.at_seconds)
                found[partition] = start._replace(offset=max(start.offset, offsets[partition]))
                if start.beyond is not None:  # a receipt is younger than its record, by whichever clocks
                    tail = await self._receipts.offset_at(partition, start.at_seconds - CLOCKS_SECONDS)
                    found[partition] = found[partition]._replace(receipts_offset=tail)
        return found

    def _no_starting_point(self, refused: Refused, oldest_at: float | None) -> str:
        options = self._options
        held = f"{refused.records} records"
        if oldest_at is not None:
            held += f", the oldest {_age(self._clock.now().wall_seconds - oldest_at)} old"
        return (
            f"group {options.group_id} has no offsets on topic {options.topic}, which holds {held}: "
            "set kafka.start_from to earliest (bill them all) or latest (bill only what arrives from now on)"
        )

    # The window's tail

    async def _fill(self, partition: int) -> None:
        """Remembers the tail of the partition's receipts; then its records may come."""
        while True:
            try:
                async with self._room_to_fill:
                    tail = await self._read_tail(partition)
                break
            except Unavailable as error:
                if partition not in self.filling_waits:
                    log.warning("window.waits", partition=partition, reason=str(error))
                self.filling_waits[partition] = str(error)
                await asyncio.sleep(RETRY_SECONDS)
        self.filling_waits.pop(partition, None)
        self._machine.window_filled(partition)
        self._changed()
        self._tell_of(partition, tail)

    def _tell_of(self, partition: int, tail: "_Tail") -> None:
        window = self._machine.window
        log.info("window.filled", partition=partition, receipts=tail.receipts, ids=len(window))
        if tail.newer:
            why = "written by a newer meter: copies of their ids are left to the provider"
            log.warning("window.newer_receipts", partition=partition, receipts=tail.newer, why=why)
        if window.is_full:
            reach = window.reach_seconds(self._clock.now().wall_seconds)
            why = "dedupe.max_ids is reached: copies of older ids are left to the provider"
            log.warning("window.limited", partition=partition, ids=len(window), reach_seconds=reach, why=why)

    async def _read_tail(self, partition: int) -> "_Tail":
        since = self._clock.now().wall_seconds - self._options.window_seconds
        by_time = await self._receipts.offset_at(partition, since)
        by_count = await self._receipts.end(partition) - self._options.window_max_ids  # a receipt names at least one id
        count = newer = since_turn = 0
        start = self._machine.assignment.fill_from(partition, max(by_time, by_count, 0))
        async with aclosing(self._receipts.read(partition, start)) as chunks:
            async for chunk in chunks:
                for offset, value in chunk:
                    found = receipts.decode(value)
                    if found is not None:
                        self._machine.remember(partition, offset, found)
                        count += 1
                        since_turn += len(found.keys) + RECEIPT_COSTS_IDS
                    elif receipts.newer_version(value) is not None:
                        newer += 1
                    if since_turn >= REMEMBERED_AT_A_TIME:
                        since_turn = 0
                        await asyncio.sleep(0)
                await asyncio.sleep(0)
        return _Tail(count, newer)

    async def _stop_filling(self) -> None:
        for fill in self._fills:
            fill.cancel()
        await asyncio.gather(*self._fills, return_exceptions=True)
        self._fills = []
        self.filling_waits.clear()

    def _lost(self, partition: int, first: int, end: int) -> None:
        self._machine.counts.lost_records += end - first
        log.error("records.lost", partition=partition, first_offset=first, records=end - first, why="out of retention")

    def _cut(self, partition: int, start: Start, log_now: Bounds) -> None:
        self._machine.counts.cut_logs += 1
        log.error(
            "log.ends_below_commit",
            partition=partition,
            end=log_now.end,
            goes_on_at=start.offset,
            passed_over=start.offset - log_now.beginning,
            why="another log, or one that has lost its end: records older than the last commit are taken for handled",
        )


class _Tail(NamedTuple):
    """What was read of a partition's receipts."""

    receipts: int
    newer: int
    """Left out: of a version that this meter does not know."""


def _age(seconds: float) -> str:
    """In the largest unit of which there is more than one."""
    for unit, unit_seconds in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * unit_seconds:
            return f"{seconds // unit_seconds:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} seconds"
