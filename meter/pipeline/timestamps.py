"""When an event happened: read from ISO 8601, kept within what the provider takes, written as it likes best."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

MAX_AGE_SECONDS = 30 * 86400.0 - 3600.0
"""The provider refuses events older than 30 days; the hour is for waiting and retries."""
MAX_AHEAD_SECONDS = 86400.0 - 300.0
"""It refuses events more than 24 hours ahead; the minutes are for clocks that differ."""

_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)"
)
# Events come in the order they happened, more or less: the same second is asked for again and again, and when there are
# many of them the same millisecond.
_TEXTS_REMEMBERED: Final = 4096
_MILLISECONDS = {f".{n:03d}Z": n for n in range(1000)}


def is_billable(timestamp_seconds: float, wall_seconds: float) -> bool:
    """Whether the provider takes an event of that time, sent now."""
    return oldest_billable(wall_seconds) <= timestamp_seconds <= latest_billable(wall_seconds)


def oldest_billable(wall_seconds: float) -> float:
    """Time of the oldest event that the provider takes now."""
    return wall_seconds - MAX_AGE_SECONDS


def latest_billable(wall_seconds: float) -> float:
    """Time of the event furthest ahead that the provider takes now."""
    return wall_seconds + MAX_AHEAD_SECONDS


def parse(text: str) -> float | None:
    """Unix seconds of an ISO 8601 date-time, cut to milliseconds; None for anything else, a missing zone included."""
    seconds = canonical_seconds[text]
    if seconds is not None:
        return seconds
    if _DATE_TIME.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:  # the 31st of February, an hour 24, a second 60
        return None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000).timestamp()


def format_utc(timestamp_seconds: float) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`; for times inside the provider's window."""
    milliseconds = round(timestamp_seconds * 1000)
    return f"{_text_of_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


class _CanonicalSeconds(dict[str, float | None]):
    """Unix seconds by `YYYY-MM-DDTHH:MM:SS.mmmZ`; None for any other text, which is not kept."""

    def __missing__(self, text: str) -> float | None:
        milliseconds = _MILLISECONDS.get(text[19:])
        seconds = None if milliseconds is None else _seconds_of_text(text[:19])
        if milliseconds is None or seconds is None:
            return None
        if len(self) >= _TEXTS_REMEMBERED:
            self.clear()
        self[text] = found = (seconds * 1000 + milliseconds) / 1000
        return found


canonical_seconds: Final = _CanonicalSeconds()
"""Unix seconds of the form that is sent, `YYYY-MM-DDTHH:MM:SS.mmmZ`; None for any other text."""


@lru_cache(maxsize=_TEXTS_REMEMBERED)
def _seconds_of_text(text: str) -> int | None:
    """Unix seconds by `YYYY-MM-DDTHH:MM:SS`; None for any other text."""
    seconds = parse(text + "Z") if text[10:11] == "T" else None  # no lower-case t, no space
    return None if seconds is None else int(seconds)


@lru_cache(maxsize=_TEXTS_REMEMBERED)
def _text_of_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
