"""What becomes of an event on the way to the provider and back, as it is told to the machine."""

from dataclasses import dataclass, field

from meter.pipeline.batch import Batch
from meter.pipeline.event import UsageEvent
from meter.pipeline.outcome import Accepted
from meter.pipeline.timestamps import oldest_billable


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """An event that ends in the dead letters, and why."""

    event: UsageEvent
    reason: str
    detail: str
    owns_key: bool = True
    """False for a copy that waited: its key is that of the event that it waited for."""


@dataclass(slots=True)
class Verdicts:
    """What became of events since it was last asked."""

    accepted: list[tuple[Batch, Accepted]] = field(default_factory=list)
    dead_lettered: list[DeadLettered] = field(default_factory=list)
    freed: list[UsageEvent] = field(default_factory=list)


def take_expired(batch: Batch, wall_seconds: float) -> list[DeadLettered]:
    """Takes out what became too old while it waited: it would cost the others of its batch their turn."""
    limit = oldest_billable(wall_seconds)
    if not batch.events or batch.oldest_seconds() >= limit:
        return []
    gone = [event for event in batch.events if event.timestamp_seconds < limit]
    batch.events = [event for event in batch.events if event.timestamp_seconds >= limit]
    return [DeadLettered(event, "expired", "became too old for the provider while it was held") for event in gone]
