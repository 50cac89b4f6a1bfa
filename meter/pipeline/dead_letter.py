"""A dead letter: the record as it came, and beside it why it is here and what was tried."""

from meter.pipeline import redriven
from meter.pipeline.event import UsageEvent
from meter.pipeline.settlement import DeadLetterWrite

RECORD = "meter-record"
"""`topic:partition:offset` of a redriven record that died again: its origin is that of its first life."""
_OURS = "meter-"


def headers(write: DeadLetterWrite, topic: str, at: str) -> list[tuple[str, bytes]]:
    """The record's own headers and ours; `at` is ISO 8601 UTC. An event that was here before keeps its first origin."""
    event, record = write.event, write.event.record
    past = redriven.past(record.headers)
    kept = [(name, value) for name, value in record.headers if not name.startswith(_OURS)]
    attempts = event.attempts if isinstance(event, UsageEvent) else 0
    place = f"{topic}:{event.partition}:{record.offset}"
    ours = {
        "meter-reason": write.reason,
        "meter-detail": write.detail,
        redriven.ORIGIN: past.origin or place,
        redriven.KEY: event.key,
        redriven.ATTEMPTS: str(past.attempts + attempts),
        redriven.TIMESTAMP: str(past.timestamp_milliseconds or max(record.timestamp or 0, 0)),
        "meter-at": at,
    }
    if past.origin:
        ours |= {redriven.REDRIVES: str(past.redrives), RECORD: place}
    if isinstance(event, UsageEvent) and event.unknown:
        ours["meter-outcome"] = "unknown"
    return kept + [(name, text.encode(errors="replace")) for name, text in ours.items()]
