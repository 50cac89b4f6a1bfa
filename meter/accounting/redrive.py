"""Dead letters on their way back: read, judged, sent, and noted down, in this order and in small steps.

Whoever is killed between sending and noting sends again when run again: the same key, which is billed once.
"""

import hashlib
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from meter.accounting.billed import Billed, read_billed
from meter.accounting.letters import Case, Filter, chosen
from meter.accounting.outgoing import MOST_AT_ONCE, Outgoing, Sender
from meter.accounting.pace import Pace
from meter.accounting.reading import Progress, Topics, nobody_listens, read_cases, read_ranges
from meter.accounting.redrive_rules import Note, Rules, Skip, note, refuse, revive
from meter.accounting.trail import Trail
from meter.clock import Clock
from meter.pipeline.event import Record
from meter.pipeline.headers import TRUNCATED
from meter.pipeline.place import Place, place_of
from meter.pipeline.start import Bounds
from meter.pipeline.timestamps import format_utc

REDRIVEN = "redriven"


class NotingSender(Sender, Protocol):
    """Writes notes as well."""

    async def note(self, notes: Sequence[Note]) -> None:
        """To the dead-letter topic."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be redriven, and how."""

    trail: Trail
    wanted: Filter
    rules: Rules
    per_second: float | None = None
    dry_run: bool = False


class Fate(NamedTuple):
    """What became of one case: `redriven` (in a dry run: would be), or why not."""

    origin: str
    key: str
    reason: str
    result: str


class Redriving:
    """One run."""

    def __init__(
        self,
        topics: Topics,
        sender: NotingSender,
        errand: Errand,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        progress: Progress,
    ) -> None:
        self._topics = topics
        self._sender = sender
        self._errand = errand
        self._clock = clock
        self._pace = Pace(errand.per_second, MOST_AT_ONCE, clock, sleep)
        self._progress = progress
        self._fates: list[Fate] = []
        self._ready: list[tuple[Case, Outgoing]] = []
        self._cut: list[tuple[Case, str]] = []
        self._sent = 0
        self._candidates = 0
        self._billed = Billed(np.zeros(0, np.uint64), -math.inf)

    async def run(self) -> list[Fate]:
        """What became of every case that the filter takes."""
        candidates = await self._candidates_by_place()
        trail = self._errand.trail
        if candidates:
            self._billed = await read_billed(self._topics, trail.receipts_topic, trail.owner, self._progress)
        self._candidates = len(candidates)
        topic = trail.dead_letter_topic
        async for partition, records in read_ranges(
            self._topics, topic, _ranges(candidates), "reading events", nobody_listens
        ):
            for record in records:
                case = candidates.get(Place(topic, partition, record.offset))
                if case is not None and case.letter.is_cut:
                    self._cut.append((case, _digest_of_whole(record)))
                elif case is not None:
                    await self._take(case, record)
        for case, digest in self._cut:
            await self._take(case, await self._whole(case, digest))
        await self._flush()
        return self._fates

    async def _candidates_by_place(self) -> dict[Place, Case]:
        errand, found = self._errand, {}
        cases = await read_cases(self._topics, errand.trail.dead_letter_topic, self._progress)
        for case in chosen(cases, errand.wanted):
            why_not = refuse(case, errand.rules)
            if why_not is None:
                found[case.letter.found] = case
            else:
                self._end(case, case.letter.key, why_not)
        return found

    async def _whole(self, case: Case, digest: str) -> Record | None:
        """The event of a letter that was cut, from where its record was; only if it is the very same."""
        place = place_of(case.letter.died)
        if place is None or place.partition not in await self._topics.partitions(place.topic):
            return None
        record = await self._topics.record_at(*place)
        return record if record is not None and _digest(record) == digest else None

    async def _take(self, case: Case, record: Record | None) -> None:
        wall_seconds = self._clock.now().wall_seconds
        if record is None:
            self._end(case, case.letter.key, Skip.OUT_OF_RETENTION)
            return
        outgoing = revive(case.letter, record, self._topics.cluster_id, wall_seconds)
        if isinstance(outgoing, Skip):
            self._end(case, case.letter.key, outgoing)
        elif self._billed.has([outgoing.event_key])[0]:
            self._end(case, outgoing.event_key, Skip.ALREADY_BILLED)
        else:
            self._ready.append((case, outgoing))
            if len(self._ready) >= self._pace.at_once:
                await self._flush()

    async def _flush(self) -> None:
        """Sends what is ready, and notes it down once all of it is acknowledged."""
        ready, self._ready = self._ready, []
        if ready and not self._errand.dry_run:
            await self._pace.step(len(ready))
            await self._sender.send([outgoing for _, outgoing in ready])
            at = format_utc(self._clock.now().wall_seconds)
            await self._sender.note([note(case.letter, outgoing, at) for case, outgoing in ready])
        for case, outgoing in ready:
            self._end(case, outgoing.event_key, REDRIVEN)
        self._sent += len(ready)
        self._progress("redriving", self._sent, self._candidates)

    def _end(self, case: Case, key: str, result: str) -> None:
        self._fates.append(Fate(case.letter.origin, key, case.letter.reason, str(result)))


def _ranges(candidates: dict[Place, Case]) -> dict[int, Bounds]:
    """From the first to the last letter in each partition."""
    found: dict[int, Bounds] = {}
    for place in candidates:
        old = found.get(place.partition, Bounds(place.offset, place.offset + 1))
        found[place.partition] = Bounds(min(old.beginning, place.offset), max(old.end, place.offset + 1))
    return found


def _digest_of_whole(record: Record) -> str:
    """SHA-256 of the value before it was cut, as the letter tells it."""
    said = next((value for name, value in record.headers if name == TRUNCATED), b"{}")
    try:
        return str(json.loads(said).get("sha256", ""))
    except (ValueError, AttributeError):
        return ""


def _digest(record: Record) -> str:
    return hashlib.sha256(record.value or b"").hexdigest()
