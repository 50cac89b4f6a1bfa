"""Which batch is sent next, while there is room for one.

Batches to be tried again, new ones and refused events take turns. Single events probe a provider that is not well:
while it refuses most of them, one unlike those that it refused, since a producer of nothing but bad events fills
buffer and queue with thousands of them; after it has failed for a while, one of each batch in turn, since each batch
may have an event in it on which it fails.
"""

from collections.abc import Callable, Collection, Sequence

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
        is_failing = self._gate.failures >= LONE_PROBES_AFTER_FAILURES
        probe = self._take_while_failing(now.steady_seconds, draining=draining) if is_failing else None
        return probe or self._take_in_turn(now.steady_seconds, draining=draining)

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

    def _take_while_failing(self, steady_seconds: float, *, draining: bool) -> Batch | None:
        """An event of somebody else than those whose events fail alone takes turns with what waits to be tried again.

        The provider may fail on one customer's events only, and there may always be one of them to try.
        """
        alone = self._take_alone(steady_seconds) if self._turn % 2 else None
        if alone is not None:
            return alone
        failing = self._failing_alone()
        is_outage = len({event.customer for event in failing}) >= LONE_PROBES
        waiting = self._buffer.events() if self._buffer.due(steady_seconds, draining=draining) else ()
        other = None if is_outage else self._take_event(failing, waiting, steady_seconds, strictly=True)
        return other or self._take_alone(steady_seconds)

    def _failing_alone(self) -> list[UsageEvent]:
        return [batch.events[0] for batch in self._queue if batch.failures and len(batch.events) == 1]

    def _take_alone(self, steady_seconds: float) -> Batch | None:
        """A single event of the batch whose turn it is; all of it once there are enough of them."""
        batch = self._queue.take(steady_seconds)
        if batch is None or len(batch.events) == 1 or self._queue.count_single() >= LONE_PROBES:
            return batch
        self._queue.put(batch.part(self._new_name(), batch.events[1:]), steady_seconds)
        return batch.part(self._new_name(), batch.events[:1])

    def _take_unlike_refused(self, steady_seconds: float) -> Batch | None:
        """Refused ones and others take turns, so that the customers differ."""
        probe = self._refusals.take_probe() if self._turn % 2 else None
        if probe is not None:
            return probe
        suspects = [*(refusal.event for refusal in self._refusals.waiting()), *self._failing_alone()]
        return self._take_event(suspects, self._buffer.events(), steady_seconds) or self._refusals.take_probe()

    def _take_event(
        self,
        suspects: Sequence[UsageEvent],
        buffered: Collection[UsageEvent],
        steady_seconds: float,
        *,
        strictly: bool = False,
    ) -> Batch | None:
        """A single event unlike these, out of a batch whose time has come or out of the buffer."""
        ready = [batch for batch in self._queue if batch.not_before <= steady_seconds]
        found = _find_unlike(suspects, [*(batch.events for batch in ready), buffered], strictly=strictly)
        if found is None:
            return None
        group, index = found
        if group == len(ready):
            return Batch(self._new_name(), [self._buffer.take_at(index)], "age")
        return self._queue.take_event(ready[group], index)


def _find_unlike(
    suspects: Sequence[UsageEvent], groups: Sequence[Collection[UsageEvent]], *, strictly: bool
) -> tuple[int, int] | None:
    """The oldest one of a customer and a partition with no suspect; of such a customer; of any, unless `strictly`."""
    customers, partitions = {event.customer for event in suspects}, {event.partition for event in suspects}
    first = of_another = None
    for group, events in enumerate(groups):
        for index, event in enumerate(events):
            if event.customer not in customers:
                if event.partition not in partitions:
                    return group, index
                of_another = of_another or (group, index)
            elif first is None:
                first = group, index
    return of_another or (None if strictly else first)
