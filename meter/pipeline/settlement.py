"""Ends that are still to be written: receipts and dead letters, tried again until the broker has them.

An event has ended only when its receipt or its dead letter is acknowledged; until then it is held. What ends nothing
but released events is not tried again: whoever has them next writes their ends anew.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from meter.pipeline import receipt as receipts
from meter.pipeline.batch import Batch
from meter.pipeline.event import InvalidEvent, UsageEvent
from meter.pipeline.now import Now
from meter.pipeline.outcome import Accepted
from meter.pipeline.receipt import Owner, Receipt
from meter.pipeline.retry import Chance, backoff_seconds

CONFLICT = "conflict"
"""Same id as an accepted event, other contents."""


class ReceiptWrite(msgspec.Struct, eq=False):
    """One receipt to be written; `events` runs parallel to its columns."""

    number: int
    receipt: Receipt
    events: Sequence[UsageEvent]
    failures: int = 0
    not_before: float = 0.0


class DeadLetterWrite(msgspec.Struct, eq=False):
    """One dead letter to be written."""

    number: int
    event: UsageEvent | InvalidEvent
    reason: str
    detail: str
    owns_key: bool = True
    """False for a copy: its key is that of the event that was billed, or that it waited for."""
    failures: int = 0
    not_before: float = 0.0
    at_wall_seconds: float = 0.0
    """When it was first to be written: each try is the same record, so a later one joins the one under way."""

    def owned_key(self) -> UsageEvent | None:
        """The event, if its key was its own."""
        return self.event if isinstance(self.event, UsageEvent) and self.owns_key else None


@dataclass(frozen=True, slots=True)
class Writes:
    """What is to be written now."""

    receipts: Sequence[ReceiptWrite]
    dead_letters: Sequence[DeadLetterWrite]


class Settlement:
    """Receipts and dead letters on their way; `live` holds the epochs of the current assignments."""

    def __init__(self, owner: Owner, max_age_seconds: float, live: Container[int], chance: Chance, name: str) -> None:
        self._owner = owner
        self._live = live
        self._max_age_seconds = max_age_seconds
        self._chance = chance
        self._name = name
        self._numbers = 0
        self._receipts: list[ReceiptWrite] = []
        self._dead_letters: list[DeadLetterWrite] = []
        self._duplicates: dict[int, list[UsageEvent]] = {}
        self._duplicates_due: dict[int, float] = {}
        self._under_way: dict[int, ReceiptWrite | DeadLetterWrite] = {}

    # What is to be written

    def accept(self, batch: Batch, answer: Accepted, now: Now) -> None:
        """The events of this batch were accepted; one receipt for each source partition among them."""
        by_partition: defaultdict[int, list[int]] = defaultdict(list)
        for index, event in enumerate(batch.events):
            by_partition[event.partition].append(index)
        for partition, indexes in by_partition.items():
            events = [batch.events[index] for index in indexes]
            references = [answer.references[index] for index in indexes]
            reasons = answer.undebited
            undebited = {str(at): reasons[i] for at, i in enumerate(indexes) if i in reasons} if reasons else {}
            copies = self._take_duplicates(partition)
            ends = receipts.ACCEPTED * len(events) + receipts.DUPLICATE * len(copies)
            references += [""] * len(copies)
            self._add_receipt(batch.name, partition, events + copies, ends, references, undebited, now)

    def duplicates(self, partition: int, events: Sequence[UsageEvent], steady_seconds: float) -> None:
        """Copies of accepted events: they ride in the next receipt of their partition, or soon in one of their own."""
        if events:
            self._duplicates.setdefault(partition, []).extend(events)
            self._duplicates_due.setdefault(partition, steady_seconds + self._max_age_seconds)

    def dead_letter(self, event: UsageEvent | InvalidEvent, reason: str, detail: str, *, owns_key: bool = True) -> None:
        """This event ends in the dead letters."""
        self._dead_letters.append(DeadLetterWrite(self._number(), event, reason, detail, owns_key))

    def release(self, epochs: frozenset[int]) -> list[UsageEvent]:
        """These assignments are over: copies and dead letters not yet under way are forgotten.

        Receipts of what was accepted are not. Answers the events whose dead letters were forgotten and which own their
        key (a copy does not).
        """
        for partition, events in list(self._duplicates.items()):
            kept = [event for event in events if event.epoch not in epochs]
            if kept:
                self._duplicates[partition] = kept
            else:
                del self._duplicates[partition], self._duplicates_due[partition]
        self._receipts = [write for write in self._receipts if self._is_wanted(write)]
        forgotten = [write for write in self._dead_letters if write.event.epoch in epochs]
        self._dead_letters = [write for write in self._dead_letters if write.event.epoch not in epochs]
        return [event for write in forgotten if (event := write.owned_key()) is not None]

    def due(self, now: Now, *, at_once: bool) -> Writes:
        """What is to be written now; under way from here until it is reported written or failed."""
        steady = now.steady_seconds
        for partition in [p for p, when in self._duplicates_due.items() if at_once or when <= steady]:
            copies = self._take_duplicates(partition)
            ends, references = receipts.DUPLICATE * len(copies), [""] * len(copies)
            self._add_receipt(f"{self._name}-copies-{self._numbers}", partition, copies, ends, references, {}, now)
        ready_receipts = [write for write in self._receipts if write.not_before <= steady]
        ready_letters = [write for write in self._dead_letters if write.not_before <= steady]
        if ready_receipts:
            self._receipts = [write for write in self._receipts if write.not_before > steady]
        for letter in ready_letters:
            letter.at_wall_seconds = letter.at_wall_seconds or now.wall_seconds
        if ready_letters:
            self._dead_letters = [write for write in self._dead_letters if write.not_before > steady]
        self._under_way.update((write.number, write) for write in ready_receipts)
        self._under_way.update((write.number, write) for write in ready_letters)
        return Writes(ready_receipts, ready_letters)

    # What became of it

    def written(self, number: int) -> ReceiptWrite | DeadLetterWrite:
        """The broker has acknowledged this write."""
        return self._under_way.pop(number)

    def failed(self, number: int, steady_seconds: float) -> ReceiptWrite | DeadLetterWrite | None:
        """The broker did not take it, or nobody knows; it is tried again later.

        Unless all that it ends was released meanwhile: then it is given up, and answered.
        """
        write = self._under_way.pop(number)
        if not self._is_wanted(write):
            return write
        write.failures += 1
        write.not_before = steady_seconds + 0.1 + backoff_seconds(write.failures, self._chance, limit_seconds=5.0)
        if isinstance(write, ReceiptWrite):
            self._receipts.append(write)
        else:
            self._dead_letters.append(write)
        return None

    def too_large(self, number: int, steady_seconds: float) -> bool:
        """The broker does not take a receipt of this size: two halves are written instead.

        False if it is for one event: nothing is left but to try again until somebody has fixed the topic.
        """
        write = self._under_way[number]
        if not isinstance(write, ReceiptWrite) or len(write.events) < 2:
            return self.failed(number, steady_seconds) is not None
        del self._under_way[number]
        left, right = receipts.halves(write.receipt)
        middle = len(write.events) // 2
        for half, events in ((left, write.events[:middle]), (right, write.events[middle:])):
            part = ReceiptWrite(self._number(), half, events)
            if self._is_wanted(part):
                self._receipts.append(part)
        return True

    def unacknowledged(self) -> list[ReceiptWrite]:
        """Receipts that may or may not stand in their topic already."""
        return [*self._receipts, *(write for write in self._under_way.values() if isinstance(write, ReceiptWrite))]

    def is_quiet(self) -> bool:
        """Nothing is to be written and nothing under way."""
        return not (self._under_way or self._receipts or self._dead_letters or self._duplicates)

    def is_writing(self) -> bool:
        """A write is under way."""
        return bool(self._under_way)

    def next_due(self) -> float:
        """When something is to be written, in steady seconds."""
        waiting: Iterable[ReceiptWrite | DeadLetterWrite] = (*self._receipts, *self._dead_letters)
        first = min((write.not_before for write in waiting), default=float("inf"))
        return min(first, min(self._duplicates_due.values(), default=float("inf")))

    def _is_wanted(self, write: ReceiptWrite | DeadLetterWrite) -> bool:
        """It says what was accepted, or ends an event that is held."""
        if isinstance(write, DeadLetterWrite):
            return write.event.epoch in self._live
        return receipts.ACCEPTED in write.receipt.ends or any(event.epoch in self._live for event in write.events)

    def _take_duplicates(self, partition: int) -> list[UsageEvent]:
        self._duplicates_due.pop(partition, None)
        return self._duplicates.pop(partition, [])

    def _add_receipt(
        self,
        name: str,
        partition: int,
        events: Sequence[UsageEvent],
        ends: str,
        references: Sequence[str],
        undebited: Mapping[str, str],
        now: Now,
    ) -> None:
        receipt = Receipt(
            v=receipts.VERSION,
            group=self._owner.group,
            provider=self._owner.provider,
            environment=self._owner.environment,
            partition=partition,
            batch=name,
            at=now.wall_seconds,
            offsets=[event.offset for event in events],
            keys=[event.key for event in events],
            ends=ends,
            references=references,
            digests=[event.digest for event in events],
            undebited=undebited,
        )
        self._receipts.append(ReceiptWrite(self._number(), receipt, events))

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers
