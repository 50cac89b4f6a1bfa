"""Which batch is sent next, while there is room for one.

Batches to be tried again, new ones and refused events take turns. Single events probe a provider that is not well:
while it refuses most of them, one unlike those that it refused, since a producer of nothing but bad events fills
buffer and queue with thousands of them; after it has failed for a while, one of each batch in turn, since each batch
may have an event in it on which it fails.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from meter.pipeline.batch import Batch
from meter.pipeline.buffer import Buffer
from meter.pipeline.concurrency import Gate
from meter.pipeline.event import UsageEvent
from meter.pipeline.now import Now
from meter.pipeline.queue import BatchQueue
from meter.pipeline.refusals import Refusals

LONE_PROBES_AFTER_FAILURES = 5
"""Failures in a row after which single events probe."""
LONE_PROBES = 32
"""So many events at most are taken out of their batches for that: an outage may be long."""


class Turns:
    """Takes from buffer, queue and refusals; `new_name` makes a name for a batch."""

    def __init__(
        self, buffer: Buffer, queue: BatchQueue, refusals: Refusals, gate: Gate, new_name: Callable[[], str]
    ) -> None:
        self.batches_by_trigger: dict[str, int] = {}
        self._buffer = buffer
        self._queue = queue
        self._refusals = refusals
        self._gate = gate
        self._new_name = new_name
        self._turn = 0

    def take(self, now: Now, *, draining: bool) -> Batch | None:
        """The next one, or None while nothing is due."""
        self._turn += 1
        if self._refusals.in_doubt:
            return self._take_unlike_refused(now.steady_seconds)
        if self._gate.failures >= LONE_PROBES_AFTER_FAILURES:
            alone = self._take_alone(now.steady_seconds)
            if alone is not None:
                return alone
        return self._take_in_turn(now.steady_seconds, draining=draining)

    def next_due(self) -> float:
        """When there is one, in steady seconds."""
        if self._refusals.in_doubt and (self._refusals or len(self._buffer)):
            return float("-inf")  # anything may be a probe
        return min(self._queue.next_due(), self._buffer.next_due(), self._refusals.next_due())

    def _take_in_turn(self, steady_seconds: float, *, draining: bool) -> Batch | None:
        sources: tuple[Callable[[], Batch | None], ...] = (
            lambda: self._queue.take(steady_seconds),
            lambda: self._take_new(steady_seconds, draining=draining),
            lambda: self._refusals.take_due(steady_seconds),
        )
        first = self._turn % len(sources)
        for source in (*sources[first:], *sources[:first]):
            batch = source()
            if batch is not None:
                return batch
        return None

    def _take_new(self, steady_seconds: float, *, draining: bool) -> Batch | None:
        trigger = self._buffer.due(steady_seconds, draining=draining)
        if trigger is None:
            return None
        self.batches_by_trigger[trigger] = self.batches_by_trigger.get(trigger, 0) + 1
        return Batch(self._new_name(), self._buffer.take(self._gate.max_body_bytes()), trigger)

    def _take_alone(self, steady_seconds: float) -> Batch | None:
        """A single event of the batch whose turn it is; all of it once there are enough of them."""
        batch = self._queue.take(steady_seconds)
        if batch is None or len(batch.events) == 1 or self._queue.count_single() >= LONE_PROBES:
            return batch
        self._queue.put(batch.part(self._new_name(), batch.events[1:]), steady_seconds)
        return batch.part(self._new_name(), batch.events[:1])

    def _take_unlike_refused(self, steady_seconds: float) -> Batch | None:
        """Refused ones and others take turns, so that the customers differ."""
        refused = self._refusals.take_probe() if self._turn % 2 else None
        return refused or self._take_other(steady_seconds) or self._refusals.take_probe()

    def _take_other(self, steady_seconds: float) -> Batch | None:
        """A single event that was not refused, out of a batch whose time has come or out of the buffer."""
        ready = [batch for batch in self._queue if batch.not_before <= steady_seconds]
        refused = [refusal.event for refusal in self._refusals.waiting()]
        found = _find_unlike(refused, [*(batch.events for batch in ready), self._buffer.events()])
        if found is None:
            return None
        group, index = found
        if group == len(ready):
            return Batch(self._new_name(), [self._buffer.take_at(index)], "age")
        return self._queue.take_event(ready[group], index)


def _find_unlike(refused: Iterable[UsageEvent], groups: Sequence[Collection[UsageEvent]]) -> tuple[int, int] | None:
    """The oldest one of a customer and a partition that have none refused; of such a customer; of any."""
    among = list(refused)
    customers, partitions = {event.customer for event in among}, {event.partition for event in among}
    first = of_another = None
    for group, events in enumerate(groups):
        for index, event in enumerate(events):
            if event.customer not in customers:
                if event.partition not in partitions:
                    return group, index
                of_another = of_another or (group, index)
            elif first is None:
                first = group, index
    return of_another or first
