"""The headers that are meter's own, by name: all that it adds to records of the source and of the dead-letter topic."""

from collections.abc import Mapping, Sequence

PREFIX = "meter-"

ORIGIN = "meter-origin"
"""`topic:partition:offset` of the event's first record."""
KEY = "meter-key"
TIMESTAMP = "meter-timestamp"
"""Milliseconds since 1970: when the first record was made, which is the time of an event that names none."""
ATTEMPTS = "meter-attempts"
REDRIVES = "meter-redrives"
"""How often it was redriven, this time included."""

REASON = "meter-reason"
DETAIL = "meter-detail"
AT = "meter-at"
"""When it was given up, ISO 8601 UTC."""
OUTCOME = "meter-outcome"
UNKNOWN_OUTCOME = "unknown"
"""Its only value: an earlier try may have been inserted after all."""
RECORD = "meter-record"
"""`topic:partition:offset` of a redriven record that died again: its origin is that of its first life."""
TRUNCATED = "meter-truncated"
"""What was cut until the broker took the dead letter."""

REDRIVEN = "meter-redriven"
"""Only notes have it: when the letter was redriven, ISO 8601 UTC."""
REPLAYED = "meter-replayed"
"""Only records that a replay has sent have it: when, ISO 8601 UTC."""

Headers = Sequence[tuple[str, bytes]]


def is_ours(name: str) -> bool:
    """Whether meter has added it."""
    return name.startswith(PREFIX)


def foreign(headers: Headers) -> list[tuple[str, bytes]]:
    """Those of the record itself."""
    return [(name, value) for name, value in headers if not is_ours(name)]


def encoded(texts: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """As they are written; half a surrogate pair, which UTF-8 cannot say, becomes a question mark."""
    return [(name, text.encode(errors="replace")) for name, text in texts.items()]
