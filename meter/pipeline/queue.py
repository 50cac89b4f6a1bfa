"""Batches that wait to be sent again, and what is left of those whose assignment is over."""

from collections import deque
from collections.abc import Callable, Container, Iterator

from meter.pipeline.batch import Batch
from meter.pipeline.event import UsageEvent


class BatchQueue:
    """In turns; `live` holds the epochs of the current assignments, `new_name` makes a name for a part."""

    def __init__(self, live: Container[int], new_name: Callable[[], str]) -> None:
        self._live = live
        self._new_name = new_name
        self._batches: deque[Batch] = deque()
        self._cooling: list[Batch] = []
        self._freed: list[UsageEvent] = []

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    def put(self, batch: Batch, steady_seconds: float, *, first: bool = False) -> None:
        """Without the events whose assignment is over: those are freed, at once or when no insert can be running."""
        kept = [event for event in batch.events if event.epoch in self._live]
        if len(kept) < len(batch.events):
            gone = [event for event in batch.events if event.epoch not in self._live]
            if batch.cool_at > steady_seconds:
                self._cooling.append(batch.part(self._new_name(), gone))
            else:
                self._freed.extend(gone)
            batch.events = kept
        if kept:
            self._batches.appendleft(batch) if first else self._batches.append(batch)

    def put_halves(self, batch: Batch, steady_seconds: float) -> None:
        """As two batches, which are next."""
        middle = len(batch.events) // 2
        for half in (batch.events[middle:], batch.events[:middle]):
            self.put(batch.part(self._new_name(), half), steady_seconds, first=True)

    def take(self, steady_seconds: float) -> Batch | None:
        """The next one whose time has come."""
        for _ in range(len(self._batches)):
            batch = self._batches.popleft()
            if batch.not_before <= steady_seconds:
                return batch
            self._batches.append(batch)
        return None

    def take_event(self, batch: Batch, index: int) -> Batch:
        """One event of a batch that waits, as a batch of its own."""
        self._batches.remove(batch)
        if len(batch.events) == 1:
            return batch
        rest = [*batch.events[:index], *batch.events[index + 1 :]]
        self._batches.appendleft(batch.part(self._new_name(), rest))
        return batch.part(self._new_name(), [batch.events[index]])

    def count_single(self) -> int:
        """Batches of one event."""
        return sum(len(batch.events) == 1 for batch in self._batches)

    def release(self, steady_seconds: float) -> None:
        """Some assignments are over."""
        batches, self._batches = self._batches, deque()
        for batch in batches:
            self.put(batch, steady_seconds)

    def drop_empty(self) -> None:
        """Events were taken out of batches."""
        self._batches = deque(batch for batch in self._batches if batch.events)

    def take_freed(self, steady_seconds: float) -> list[UsageEvent]:
        """Events of assignments that are over, which nobody is inserting any more."""
        cooled = [batch for batch in self._cooling if batch.cool_at <= steady_seconds]
        if cooled:
            self._cooling = [batch for batch in self._cooling if batch.cool_at > steady_seconds]
            self._freed += [event for batch in cooled for event in batch.events]
        freed, self._freed = self._freed, []
        return freed

    def inserting(self, steady_seconds: float) -> list[Batch]:
        """Those of which an earlier try may still be inserted."""
        return [batch for batch in (*self._batches, *self._cooling) if batch.cool_at > steady_seconds]

    def next_due(self) -> float:
        """When the next one may be sent, in steady seconds."""
        return min((batch.not_before for batch in self._batches), default=float("inf"))

    def next_freed_at(self) -> float:
        """When more is freed by the time alone."""
        return min((batch.cool_at for batch in self._cooling), default=float("inf"))
