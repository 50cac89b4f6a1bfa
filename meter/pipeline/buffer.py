"""What waits to be sent, and when a batch is due: by count, by bytes or by age, and it says which."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from meter.pipeline.event import UsageEvent

Trigger = Literal["count", "bytes", "age", "drain"]

ENVELOPE_BYTES = 128
"""Room for what a request's body has around its events, over MCP more than over REST; each adds itself and a comma."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is full, and how long an event may wait for it."""

    max_events: int
    max_bytes: int
    max_age_seconds: float


class Buffer:
    """Events in the order in which they came, with the time at which each chunk of them came."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._events: deque[UsageEvent] = deque()
        self._arrivals: deque[tuple[float, int]] = deque()  # (when, how many)
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: Sequence[UsageEvent], steady_seconds: float) -> None:
        """Appends events that came now."""
        if events:
            self._events.extend(events)
            self._arrivals.append((steady_seconds, len(events)))
            self._bytes += body_bytes(events)

    def due(self, steady_seconds: float, *, draining: bool = False) -> Trigger | None:
        """Why a batch should leave now, or None."""
        if not self._events:
            return None
        if len(self._events) >= self._limits.max_events:
            return "count"
        if self._bytes + ENVELOPE_BYTES >= self._limits.max_bytes:
            return "bytes"
        if draining:
            return "drain"
        return "age" if steady_seconds >= self.next_due() else None

    def next_due(self) -> float:
        """From when on a batch is due, if nothing else comes; infinity when nothing waits."""
        if not self._arrivals:
            return float("inf")
        arrived = self._arrivals[0][0]
        is_full = len(self._events) >= self._limits.max_events or self._bytes + ENVELOPE_BYTES >= self._limits.max_bytes
        return arrived if is_full else arrived + self._limits.max_age_seconds

    def take(self, max_bytes: int) -> list[UsageEvent]:
        """The oldest events that fit into one batch of at most `max_bytes`; at least one."""
        room = min(max_bytes, self._limits.max_bytes) - ENVELOPE_BYTES
        taken = [self._events.popleft() for _ in range(min(len(self._events), self._limits.max_events))]
        size_bytes = body_bytes(taken)
        if size_bytes > room:
            sizes = list(accumulate([len(event.body) + 1 for event in taken]))
            count = max(1, bisect_right(sizes, room))
            self._events.extendleft(reversed(taken[count:]))
            taken, size_bytes = taken[:count], sizes[count - 1]
        self._bytes -= size_bytes
        self._forget_arrivals(len(taken))
        return taken

    def events(self) -> Collection[UsageEvent]:
        """What waits, the oldest first."""
        return self._events

    def take_at(self, index: int) -> UsageEvent:
        """Removes and returns one of `events()`."""
        taken = self._events[index]
        del self._events[index]
        self._bytes -= body_bytes((taken,))
        for chunk, (when, count) in enumerate(self._arrivals):
            if index < count:
                self._arrivals[chunk] = (when, count - 1)
                if count == 1:
                    del self._arrivals[chunk]
                break
            index -= count
        return taken

    def discard(self, epochs: frozenset[int]) -> list[UsageEvent]:
        """Removes and returns the events of these assignments."""
        return self.take_out(lambda event: event.epoch in epochs)

    def take_out(self, is_meant: Callable[[UsageEvent], bool]) -> list[UsageEvent]:
        """Removes and returns the events that are meant."""
        gone = [event for event in self._events if is_meant(event)]
        if gone:
            kept = [event for event in self._events if not is_meant(event)]
            oldest = self._arrivals[0][0]
            self._events.clear()
            self._arrivals.clear()
            self._bytes = 0
            self.add(kept, oldest)
        return gone

    def _forget_arrivals(self, count: int) -> None:
        while count:
            when, waiting = self._arrivals.popleft()
            if waiting > count:
                self._arrivals.appendleft((when, waiting - count))
                return
            count -= waiting


def body_bytes(events: Sequence[UsageEvent]) -> int:
    """What these events take in a body, each with its comma."""
    return sum(map(len, [event.body for event in events])) + len(events)
