"""A dead letter: the record as it came, and beside it why it is here and what was tried."""

from meter.pipeline.event import Record, UsageEvent
from meter.pipeline.settlement import DeadLetterWrite

ORIGIN = "meter-origin"
_OURS = "meter-"


def headers(write: DeadLetterWrite, topic: str, at: str) -> list[tuple[str, bytes]]:
    """The record's own headers and ours; `at` is ISO 8601 UTC. An event that was here before keeps its first origin."""
    event = write.event
    kept = [(name, value) for name, value in event.record.headers if not name.startswith(_OURS)]
    attempts = event.attempts if isinstance(event, UsageEvent) else 0
    ours = {
        "meter-reason": write.reason,
        "meter-detail": write.detail,
        ORIGIN: _first_origin(event.record) or f"{topic}:{event.partition}:{event.record.offset}",
        "meter-key": event.key,
        "meter-attempts": str(attempts),
        "meter-at": at,
    }
    if isinstance(event, UsageEvent) and event.unknown:
        ours["meter-outcome"] = "unknown"
    return kept + [(name, text.encode(errors="replace")) for name, text in ours.items()]


def _first_origin(record: Record) -> str | None:
    return next((value.decode(errors="replace") for name, value in record.headers if name == ORIGIN and value), None)
