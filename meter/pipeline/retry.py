"""When to try again after a failure: a value, carried out by somebody else."""

from typing import Protocol

RETRY_AFTER_LIMIT_SECONDS = 300.0
"""A provider that asks for a day would stop billing for a day; an operator decides that, not a header."""

UNKNOWN_OUTCOME_PAUSE_SECONDS = 2.0
"""After a timeout the provider may still be inserting; nothing in its API documentation says that a key is locked
meanwhile."""

_FIRST_SECONDS = 0.5


class Chance(Protocol):
    """The one thing that we need of `random.Random`."""

    def uniform(self, a: float, b: float, /) -> float: ...


def backoff_seconds(failures: int, chance: Chance, *, limit_seconds: float = 30.0) -> float:
    """Exponential with full jitter: between nothing and half a second * 2^(failures-1), never above the limit."""
    return chance.uniform(0.0, min(limit_seconds, _FIRST_SECONDS * 2.0 ** min(failures - 1, 16)))


def retry_seconds(
    failures: int, chance: Chance, *, outcome_unknown: bool, retry_after_seconds: float | None = None
) -> float:
    """How long from now until these events may be sent again, at the earliest."""
    if retry_after_seconds is None:
        wait = backoff_seconds(failures, chance)
    else:
        wait = min(max(retry_after_seconds, 0.0), RETRY_AFTER_LIMIT_SECONDS)
    return max(wait, UNKNOWN_OUTCOME_PAUSE_SECONDS) if outcome_unknown else wait
