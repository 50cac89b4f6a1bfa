"""Which timestamps the provider takes: a UTC date-time with `Z`, at most 30 days old and 24 hours ahead."""

import re
from datetime import UTC, datetime
from functools import lru_cache

PAST_SECONDS = 30 * 86400
FUTURE_SECONDS = 24 * 3600

_TO_THE_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_SECOND_LENGTH = len("2026-01-01T00:00:00")


def unix_seconds(text: str) -> float | None:
    """The moment that `text` names, or None when it is not `YYYY-MM-DDTHH:MM:SS[.fff]Z`."""
    whole = _whole_seconds(text[:_SECOND_LENGTH])
    rest = text[_SECOND_LENGTH:]
    if whole is None or not rest.endswith("Z"):
        return None
    if rest == "Z":
        return whole
    fraction = rest[1:-1]
    if rest[0] != "." or not (fraction.isascii() and fraction.isdigit()):
        return None
    return whole + float(f"0.{fraction}")


def within(moment: float, now: float) -> bool:
    """Whether the provider, at `now`, takes an event of `moment`; both edges still count as inside."""
    return now - PAST_SECONDS <= moment <= now + FUTURE_SECONDS


@lru_cache(maxsize=4096)  # the events of a batch share their seconds
def _whole_seconds(text: str) -> float | None:
    if not _TO_THE_SECOND.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:  # 31 February, hour 24
        return None
