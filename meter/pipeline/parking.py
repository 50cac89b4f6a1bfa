"""What an operator has told to leave: held events end in the dead letters though nothing has refused them for good.

An event that is on its way, or that an earlier try may still insert, is only wished away: it leaves as soon as it is
back and nobody can be inserting it, unless it was accepted meanwhile.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from meter.pipeline.batch import Batch
from meter.pipeline.buffer import Buffer
from meter.pipeline.event import UsageEvent
from meter.pipeline.refusals import Refusals
from meter.pipeline.verdicts import Parked

PARKED = "parked"
"""Reason of a dead letter that nothing but an operator has made."""
_LOOK_EVERY_SECONDS = 0.5


class Selection(NamedTuple):
    """Which held events are meant: these places, or whatever fits all of the rest that is given."""

    origins: frozenset[tuple[int, int]] = frozenset()
    """(partition, offset)"""
    customers: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    """Of a refusal: `rejected`, `too_large`, `unknown_customer`."""
    all_refused: bool = False

    def takes(self, event: UsageEvent, refused: str | None) -> bool:
        """Whether this event is meant, which was last refused for that reason, or not refused at all."""
        if self.origins:
            return (event.partition, event.record.offset) in self.origins
        if refused is None and (self.all_refused or self.reasons):
            return False
        fits = (not self.reasons or refused in self.reasons) and (
            not self.customers or event.customer in self.customers
        )
        return fits and bool(self.all_refused or self.reasons or self.customers)


class Leaving(NamedTuple):
    """What a wish has come to so far."""

    parked: int
    waiting: int
    """On their way, or perhaps still being inserted."""


class Wishes:
    """Events that are to leave, by assignment and offset."""

    def __init__(self) -> None:
        self._wished: set[tuple[int, int]] = set()
        self._look_at = 0.0

    def add(self, wanted: Selection, buffer: Buffer, batches: Iterable[Batch], refusals: Refusals) -> int:
        """Everything held that is meant, and how many that is."""
        held: list[tuple[UsageEvent, str | None]] = [(one.event, one.reason) for one in refusals.waiting()]
        held += [(event, batch.refused_as) for batch in batches for event in batch.events]
        held += [(event, None) for event in buffer.events()]
        wished = {_place(event) for event, reason in held if wanted.takes(event, reason)}
        self._wished |= wished
        return len(wished)

    def take(self, batch: Batch, steady_seconds: float) -> list[Parked]:
        """Takes out of a batch that is not in flight what may leave now."""
        if not self._wished or batch.cool_at > steady_seconds:
            return []
        gone = [event for event in batch.events if _place(event) in self._wished]
        if gone:
            batch.events = [event for event in batch.events if _place(event) not in self._wished]
            self.forget(gone)
        if batch.refused_as is not None:
            detail = "refused and due to be retried (parked by an operator)"
            return [Parked(event, batch.refused_as, detail) for event in gone]
        return [Parked(event, PARKED, "was held without ending, and parked by an operator") for event in gone]

    def take_waiting(
        self, buffer: Buffer, queue: Iterable[Batch], refusals: Refusals, steady_seconds: float
    ) -> list[Parked]:
        """Takes what may leave now out of everything that is not in flight."""
        self._look_at = steady_seconds + _LOOK_EVERY_SECONDS
        fresh = buffer.take_out(lambda event: _place(event) in self._wished)
        found = [Parked(event, PARKED, "was held, and parked by an operator") for event in fresh]
        refused = refusals.take_where(
            lambda one: _place(one.event) in self._wished and one.batch.cool_at <= steady_seconds
        )
        found += [Parked(one.event, one.reason, f"{one.detail} (parked by an operator)") for one in refused]
        self.forget([parked.event for parked in found])
        for batch in queue:
            found += self.take(batch, steady_seconds)
        return found

    def forget(self, events: Sequence[UsageEvent]) -> None:
        """These have ended."""
        if self._wished:
            self._wished.difference_update(map(_place, events))

    def release(self, epochs: frozenset[int]) -> None:
        """These assignments are over: whoever has the events next holds them anew."""
        self._wished = {place for place in self._wished if place[0] not in epochs}

    def next_due(self) -> float:
        """When to look for them again, in steady seconds: not each time, thousands of events may wait."""
        return self._look_at if self._wished else float("inf")


def _place(event: UsageEvent) -> tuple[int, int]:
    return event.epoch, event.record.offset
