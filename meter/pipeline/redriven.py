"""What a record carries that was dead-lettered and sent again: the identity and the past of its first life.

These are headers of the dead letter. They outrank what the record itself says, so that an event which took its
identity from its place keeps it in another place, and is billed once whichever of the two is billed.
"""

from typing import NamedTuple

from meter.pipeline import headers, identity


class Past(NamedTuple):
    """What is known of earlier lives; all empty for a record that was never a dead letter."""

    key: str = ""
    origin: str = ""
    timestamp_milliseconds: int = 0
    attempts: int = 0
    redrives: int = 0


NOTHING = Past()


def past(found: headers.Headers) -> Past:
    """The past in these headers. What cannot be read is as good as absent: headers may be anybody's."""
    ours = {name: _text(value) for name, value in found if headers.is_ours(name)}
    if not ours:
        return NOTHING
    key = ours.get(headers.KEY, "")
    return Past(
        identity.fit(key) if "\ufffd" not in key else "",
        ours.get(headers.ORIGIN, ""),
        _number(ours.get(headers.TIMESTAMP, "")),
        _number(ours.get(headers.ATTEMPTS, "")),
        _number(ours.get(headers.REDRIVES, "")),
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0
