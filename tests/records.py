"""Records as the Kafka client hands them over, and their decoding at a fixed time and place."""

import json
from dataclasses import dataclass

from meter.pipeline.event import InvalidEvent, Origin, UsageEvent, decode

NOW_SECONDS = 1_763_930_000.0
"""2025-11-23T20:33:20Z."""
NOW_TEXT = "2025-11-23T20:33:20.000Z"
ORIGIN = Origin("cluster-1", "usage-events", 3)

Header = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """One record, with the fields that decoding looks at."""

    value: bytes | None
    headers: tuple[Header, ...] = ()
    offset: int = 7
    timestamp: int = int(NOW_SECONDS * 1000)
    key: bytes | None = None


def as_json(content: object) -> bytes:
    """The value of a record: JSON as most producers write it."""
    return json.dumps(content).encode()


def decoded(value: object, *headers: Header) -> UsageEvent | InvalidEvent:
    """What becomes of a record with this value; anything but bytes and None is written as JSON first."""
    raw = value if isinstance(value, bytes | None) else as_json(value)
    return decode(FakeRecord(raw, headers), ORIGIN, NOW_SECONDS)


def usage(value: object, *headers: Header) -> UsageEvent:
    """The event in a record that must be valid."""
    event = decoded(value, *headers)
    assert isinstance(event, UsageEvent), event
    return event


def body(value: object, *headers: Header) -> dict[str, object]:
    """What the provider is sent for a record that must be valid."""
    content = json.loads(usage(value, *headers).body)
    assert isinstance(content, dict)
    return content


def reason(value: object, *headers: Header) -> str:
    """Why a record that must be invalid is."""
    event = decoded(value, *headers)
    assert isinstance(event, InvalidEvent), event
    return event.reason
