"""Events that travel together: the members of a batch stay together or are split, never mixed with another's."""

from collections.abc import Sequence

import msgspec

from meter.pipeline.buffer import ENVELOPE_BYTES, Trigger, body_bytes
from meter.pipeline.event import UsageEvent


class Batch(msgspec.Struct, eq=False):
    """What one request to the provider carries; `name` is unique among all processes."""

    name: str
    events: list[UsageEvent]
    trigger: Trigger
    failures: int = 0
    not_before: float = 0.0  # steady seconds
    cool_at: float = 0.0  # steady seconds; until then the provider may still be inserting an earlier try
    started_at: float = 0.0  # steady seconds
    failed_try_at: float | None = None  # steady seconds; the start of its last try, if that failed
    is_poison: bool = False  # it fails again and again while others are accepted
    first_refused_at: float | None = None  # steady seconds; of a batch of one event
    refused_as: str | None = None  # why it was refused last, if it was; of a batch of one event
    had_second_try: bool = False  # after a refusal that may not have been its own fault; of a batch of one event

    def body_bytes(self) -> int:
        """Size of the request's body."""
        return ENVELOPE_BYTES + body_bytes(self.events)

    def oldest_seconds(self) -> float:
        """The earliest timestamp among its events, Unix seconds."""
        return min([event.timestamp_seconds for event in self.events])

    def part(self, name: str, events: Sequence[UsageEvent]) -> "Batch":
        """Some of its events as a batch of their own, with this one's past."""
        return Batch(
            name,
            list(events),
            self.trigger,
            self.failures,
            self.not_before,
            self.cool_at,
            failed_try_at=self.failed_try_at,
        )

    def is_poison_alone(self) -> bool:
        """Its only event is the one on which every request fails."""
        return self.is_poison and len(self.events) == 1
