"""A dead letter: the record as it came, and beside it why it is here and what was tried."""

from meter.pipeline import headers as names
from meter.pipeline import redriven
from meter.pipeline.event import UsageEvent
from meter.pipeline.place import Place
from meter.pipeline.settlement import DeadLetterWrite
from meter.pipeline.timestamps import format_utc


def headers(write: DeadLetterWrite, topic: str) -> list[tuple[str, bytes]]:
    """The record's own headers and ours. An event that was here before keeps its first origin."""
    event, record = write.event, write.event.record
    past = redriven.past(record.headers)
    attempts = event.attempts if isinstance(event, UsageEvent) else 0
    place = str(Place(topic, event.partition, record.offset))
    ours = {
        names.REASON: write.reason,
        names.DETAIL: write.detail,
        names.ORIGIN: past.origin or place,
        names.KEY: event.key,
        names.ATTEMPTS: str(past.attempts + attempts),
        names.TIMESTAMP: str(past.timestamp_milliseconds or max(record.timestamp or 0, 0)),
        names.AT: format_utc(write.at_wall_seconds),
    }
    if past.origin:
        ours |= {names.REDRIVES: str(past.redrives), names.RECORD: place}
    if isinstance(event, UsageEvent) and event.unknown:
        ours[names.OUTCOME] = names.UNKNOWN_OUTCOME
    return names.foreign(record.headers) + names.encoded(ours)
