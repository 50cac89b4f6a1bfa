"""Which event asks whether the provider is well, while it refuses most of them: one unlike those that it refused.

A producer of nothing but bad events fills buffer and queue with thousands of them; asked in their order, the good
events of others would wait for as many probes.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from meter.pipeline.batch import Batch
from meter.pipeline.buffer import Buffer
from meter.pipeline.event import UsageEvent
from meter.pipeline.queue import BatchQueue


def take_unlike(
    refused: Iterable[UsageEvent],
    queue: BatchQueue,
    buffer: Buffer,
    new_name: Callable[[], str],
    steady_seconds: float,
) -> Batch | None:
    """Takes a single event that was not refused, out of a batch whose time has come or out of the buffer."""
    ready = [batch for batch in queue if batch.not_before <= steady_seconds]
    found = _find([*(batch.events for batch in ready), buffer.events()], refused)
    if found is None:
        return None
    group, index = found
    if group == len(ready):
        return Batch(new_name(), [buffer.take_at(index)], "age")
    return queue.take_event(ready[group], index)


def _find(groups: Sequence[Collection[UsageEvent]], refused: Iterable[UsageEvent]) -> tuple[int, int] | None:
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
