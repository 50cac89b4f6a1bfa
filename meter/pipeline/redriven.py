"""What a record carries that was dead-lettered and sent again: the identity and the past of its first life.

These are headers of the dead letter. They outrank what the record itself says, so that an event which took its
identity from its place keeps it in another place, and is billed once whichever of the two is billed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from meter.pipeline import identity

ORIGIN = "meter-origin"
KEY = "meter-key"
TIMESTAMP = "meter-timestamp"
"""Milliseconds since 1970: when the first record was made, which is the time of an event that names none."""
ATTEMPTS = "meter-attempts"
REDRIVES = "meter-redrives"
"""How often it was redriven, this time included."""


class Past(NamedTuple):
    """What is known of earlier lives; all empty for a record that was never a dead letter."""

    key: str = ""
    origin: str = ""
    timestamp_milliseconds: int = 0
    attempts: int = 0
    redrives: int = 0


NOTHING = Past()


def past(headers: Sequence[tuple[str, bytes]]) -> Past:
    """The past in these headers. What cannot be read is as good as absent: headers may be anybody's."""
    ours = {name: _text(value) for name, value in headers if name.startswith("meter-")}
    if not ours:
        return NOTHING
    key = ours.get(KEY, "")
    return Past(
        identity.fit(key) if "\ufffd" not in key else "",
        ours.get(ORIGIN, ""),
        _number(ours.get(TIMESTAMP, "")),
        _number(ours.get(ATTEMPTS, "")),
        _number(ours.get(REDRIVES, "")),
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0
