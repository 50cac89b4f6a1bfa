"""A range of the source topic sent again: read, judged and sent, in small steps.

Nothing is noted down: whoever is killed halfway is run again from the start. What was sent already is sent again under
the same keys, which are billed once.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from meter.accounting.billed import read_billed
from meter.accounting.outgoing import MOST_AT_ONCE, Sender
from meter.accounting.pace import Pace
from meter.accounting.reading import Progress, Topics, made_between, nobody_listens, read_cases, read_ranges
from meter.accounting.replay_rules import Choice, Known, Left, Memory, Sent, again, customer, is_sure, leave
from meter.accounting.trail import Trail
from meter.clock import Clock
from meter.errors import CommandFailed, UserMistake
from meter.pipeline.event import InvalidEvent, Origin, Record, UsageEvent, decode_all
from meter.pipeline.place import Place, place_of
from meter.pipeline.settlement import CONFLICT
from meter.pipeline.start import Bounds
from meter.pipeline.timestamps import format_utc


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent again, and how; times are Unix."""

    trail: Trail
    since_seconds: float
    until_seconds: float
    memory: Memory
    choice: Choice
    per_second: float | None = None
    dry_run: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of the records of the range, customer by customer."""

    billed: Counter[str] = field(default_factory=Counter)
    """Sent although a receipt calls them accepted: they will be recognised."""
    unbilled: Counter[str] = field(default_factory=Counter)
    """Sent, and billed by no receipt that is kept."""
    left: Counter[Left] = field(default_factory=Counter)
    uncommitted: int = 0
    """In the range, but at or above the commit: they have not ended."""
    refusal: str = ""
    """Why it would be refused; a dry run goes on all the same."""

    @property
    def sent(self) -> int:
        """In a dry run: would be."""
        return self.billed.total() + self.unbilled.total()


def refuse(order: Order, wall_seconds: float, window_since: float = -math.inf) -> str:
    """Why the range as a whole is refused, in one sentence; "" when it is not. `window_since` as for `Memory.since`."""
    since = order.memory.since(wall_seconds, window_since)
    if order.choice.unbilled or order.choice.beyond_memory or order.since_seconds >= since:
        return ""
    whose = (
        "the provider remembers keys since then, by billing.idempotency_window_seconds"
        if order.memory.provider_seconds is not None
        else "meter's own window begins there, and without billing.idempotency_window_seconds it is unknown whether "
        "the provider remembers longer"
    )
    return (
        f"--from {format_utc(order.since_seconds)} is before {format_utc(since)} ({whose}): what was billed earlier "
        "may be billed a second time; --unbilled skips what receipts list as accepted, and --beyond-provider-memory "
        "sends everything regardless"
    )


class Replaying:
    """One run."""

    def __init__(
        self,
        topics: Topics,
        sender: Sender,
        order: Order,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        progress: Progress,
    ) -> None:
        self._topics = topics
        self._sender = sender
        self._order = order
        self._clock = clock
        self._pace = Pace(order.per_second, MOST_AT_ONCE, clock, sleep)
        self._progress = progress
        self._outcome = Outcome()
        self._ready: list[Sent] = []
        self._window_since = -math.inf
        self._done = 0
        self._records = 0

    async def run(self) -> Outcome:
        """What became of the range. Raises `UserMistake` if it reaches too far back, `CommandFailed`, `Unavailable`."""
        order = self._order
        ranges = await self._ranges()
        known = await self._known(ranges)
        self._window_since = known.billed.window_since(order.memory.window_max_ids)
        self._outcome.refusal = refuse(order, self._clock.now().wall_seconds, self._window_since)
        if self._outcome.refusal and not order.dry_run:
            raise UserMistake(self._outcome.refusal)
        self._records = sum(bounds.end - bounds.beginning for bounds in ranges.values())
        async for partition, records in read_ranges(self._topics, order.trail.topic, ranges, "records", nobody_listens):
            await self._take(partition, records, known)
        await self._flush()
        return self._outcome

    async def _ranges(self) -> dict[int, Bounds]:
        """Never above the commit: what stands there is the daemon's, and comes by itself."""
        order, trail = self._order, self._order.trail
        asked = await made_between(self._topics, trail.topic, order.since_seconds, order.until_seconds)
        committed = await self._topics.committed(trail.owner.group, trail.topic)
        if not committed:
            raise CommandFailed(
                f"group {trail.owner.group} has committed nothing on topic {trail.topic}: only events that have "
                "ended once can be sent again"
            )
        found = {}
        for partition, (first, end) in asked.items():
            ended = committed[partition].offset if partition in committed else first
            found[partition] = Bounds(first, max(first, min(end, ended)))
            self._outcome.uncommitted += end - found[partition].end
        return found

    async def _known(self, ranges: Mapping[int, Bounds]) -> Known:
        """Read after the commit, so that the end of whatever lies below it stands there."""
        trail = self._order.trail
        billed = await read_billed(self._topics, trail.receipts_topic, trail.owner, self._progress)
        letters: set[Place] = set()
        conflicts: set[Place] = set()
        for case in await read_cases(self._topics, trail.dead_letter_topic, self._progress):
            for place in (place_of(case.letter.origin), place_of(case.letter.died)):
                bounds = ranges.get(place.partition) if place is not None else None
                if place is not None and bounds is not None and bounds.beginning <= place.offset < bounds.end:
                    (conflicts if case.letter.reason == CONFLICT else letters).add(place)
        return Known(billed, letters, conflicts)

    async def _take(self, partition: int, records: Sequence[Record], known: Known) -> None:
        order, wall_seconds = self._order, self._clock.now().wall_seconds
        events = decode_all(records, Origin(self._topics.cluster_id, order.trail.topic, partition), wall_seconds, 0)
        are_billed = known.billed.has([event.key for event in events]).tolist()
        for record, event, is_billed in zip(records, events, are_billed, strict=True):
            self._done += 1
            whose = customer(record, event)
            if order.choice.customers and whose not in order.choice.customers:
                continue
            place = Place(order.trail.topic, partition, record.offset)
            why_not = self._why_not(record, event, place, is_billed, known)
            if why_not is not None or not isinstance(event, UsageEvent):
                self._outcome.left[why_not or Left.INVALID] += 1
                continue
            self._ready.append(Sent(again(record, event, place, format_utc(wall_seconds)), whose, is_billed))
            if len(self._ready) >= self._pace.at_once:
                await self._flush()

    def _why_not(
        self, record: Record, event: UsageEvent | InvalidEvent, place: Place, is_billed: bool, known: Known
    ) -> Left | None:
        choice = self._order.choice
        why_not = leave(record, event, place, is_billed, choice, known)
        if why_not is not None or choice.beyond_memory:
            return why_not
        # Asked anew for each: at a slow pace it is later and later, and what was remembered is forgotten meanwhile.
        remembered_since = self._order.memory.since(self._clock.now().wall_seconds, self._window_since)
        return None if is_sure(record, is_billed, known, remembered_since) else Left.BEYOND_MEMORY

    async def _flush(self) -> None:
        ready, self._ready = self._ready, []
        if ready and not self._order.dry_run:
            await self._pace.step(len(ready))
            await self._sender.send([one.outgoing for one in ready])
        for one in ready:
            (self._outcome.billed if one.is_billed else self._outcome.unbilled)[one.customer] += 1
        self._progress("replaying", self._done, self._records)
