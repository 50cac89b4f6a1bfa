"""What an operator has told to leave: held events end in the dead letters though nothing has refused them for good.

An event that is on its way, or that an earlier try may still insert, is only wished away: it leaves as soon as it is
back and nobody can be inserting it, unless it was accepted meanwhile.
"""

from collections.abc import Mapping, Set
from typing import NamedTuple

from meter.pipeline.batch import Batch
from meter.pipeline.buffer import Buffer
from meter.pipeline.event import UsageEvent
from meter.pipeline.holding import Holding
from meter.pipeline.queue import BatchQueue
from meter.pipeline.refusals import Refusals
from meter.pipeline.verdicts import DeadLettered

PARKED = "parked"
"""Reason of a dead letter that nothing but an operator has made."""
_LOOK_EVERY_SECONDS = 0.5

Place = tuple[int, int]
"""Assignment and offset."""


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


class Places(NamedTuple):
    """Where held events are that have no verdict yet."""

    buffer: Buffer
    queue: BatchQueue
    in_flight: Mapping[str, Batch]
    refusals: Refusals
    holding: Holding

    def left_behind(self) -> list[tuple[UsageEvent, str | None]]:
        """All that is not fresh, each with the reason of its refusal."""
        held: list[tuple[UsageEvent, str | None]] = [(one.event, one.reason) for one in self.refusals.waiting()]
        batches = (*self.queue, *self.in_flight.values())
        held += [(event, batch.refused_as) for batch in batches for event in batch.events]
        return held + [(copy, None) for copy in self.holding.copies()]

    def keys_under_way(self, steady_seconds: float) -> set[str]:
        """In flight, or perhaps still being inserted."""
        batches = (*self.in_flight.values(), *self.queue.inserting(steady_seconds))
        return {event.key for batch in batches for event in batch.events}


class Wishes:
    """Events that are to leave, by assignment and offset."""

    def __init__(self, held: Places) -> None:
        self._held = held
        self._wished: set[Place] = set()
        self._look_at = 0.0

    def add(self, wanted: Selection) -> Set[Place]:
        """Everything held that is meant."""
        held = self._held.left_behind()
        held += [(event, None) for event in self._held.buffer.events()]
        wished = {_place(event) for event, reason in held if wanted.takes(event, reason)}
        self._wished |= wished
        return wished

    def what_became_of(self, wished: Set[Place]) -> Leaving:
        """Of these, by now."""
        waiting = len(self._wished & wished)
        return Leaving(len(wished) - waiting, waiting)

    def take(self, batch: Batch, steady_seconds: float) -> list[DeadLettered]:
        """Takes out of a batch that is not in flight what may leave now."""
        if not self._wished or batch.cool_at > steady_seconds:
            return []
        gone = [event for event in batch.events if self._is_wished(event)]
        if gone:
            batch.events = [event for event in batch.events if not self._is_wished(event)]
            self._wished.difference_update(map(_place, gone))
        if batch.refused_as is not None:
            detail = "refused and due to be retried (parked by an operator)"
            return [DeadLettered(event, batch.refused_as, detail) for event in gone]
        return [DeadLettered(event, PARKED, "was held without ending, and parked by an operator") for event in gone]

    def take_waiting(self, steady_seconds: float) -> list[DeadLettered]:
        """Takes what may leave now out of everything that is not in flight; forgets who has ended meanwhile."""
        self._look_at = steady_seconds + _LOOK_EVERY_SECONDS
        held = self._held
        fresh = held.buffer.take_out(self._is_wished)
        found = [DeadLettered(event, PARKED, "was held, and parked by an operator") for event in fresh]
        refused = held.refusals.take_where(
            lambda one: self._is_wished(one.event) and one.batch.cool_at <= steady_seconds
        )
        found += [DeadLettered(one.event, one.reason, f"{one.detail} (parked by an operator)") for one in refused]
        for batch in held.queue:
            found += self.take(batch, steady_seconds)
        found += self._take_copies(steady_seconds)
        self._wished.intersection_update(_place(event) for event, _ in held.left_behind())
        return found

    def release(self, epochs: frozenset[int]) -> None:
        """These assignments are over: whoever has the events next holds them anew."""
        self._wished = {place for place in self._wished if place[0] not in epochs}

    def next_due(self) -> float:
        """When to look for them again, in steady seconds: not each time, thousands of events may wait."""
        return self._look_at if self._wished else float("inf")

    def _take_copies(self, steady_seconds: float) -> list[DeadLettered]:
        """One whose key is under way waits: the answer may make it a duplicate."""
        under_way = self._held.keys_under_way(steady_seconds)
        copies = self._held.holding.take_copies(lambda copy: self._is_wished(copy) and copy.key not in under_way)
        detail = "waited for another event with the same id, and was parked by an operator"
        return [DeadLettered(copy, PARKED, detail, owns_key=False) for copy in copies]

    def _is_wished(self, event: UsageEvent) -> bool:
        return _place(event) in self._wished


def _place(event: UsageEvent) -> Place:
    return event.epoch, event.record.offset
