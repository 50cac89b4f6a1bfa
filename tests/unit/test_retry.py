"""When to try again."""

import random

import pytest

from meter.pipeline.retry import RETRY_AFTER_LIMIT_SECONDS, backoff_seconds, retry_seconds
from tests.builders import Least, Most


def test_waits_double_up_to_a_limit() -> None:
    """Exponential, and finite for any number of failures."""
    assert [backoff_seconds(failures, Most()) for failures in (1, 2, 3, 7, 8, 10_000)] == [0.5, 1, 2, 30, 30, 30]


def test_waits_are_spread() -> None:
    """Full jitter: replicas that failed together do not come back together."""
    chance = random.Random(1)
    waits = [backoff_seconds(5, chance) for _ in range(200)]
    assert min(waits) < 1.0
    assert max(waits) > 7.0


@pytest.mark.parametrize("retry_after_seconds", [None, 0.0, 0.5, -3.0])
def test_an_unknown_outcome_waits_two_seconds(retry_after_seconds: float | None) -> None:
    """Invariant 4: whatever chance or the provider say, it may still be inserting."""
    wait = retry_seconds(1, Least(), outcome_unknown=True, retry_after_seconds=retry_after_seconds)
    assert wait == 2.0


def test_retry_after_replaces_the_backoff_within_bounds() -> None:
    """P8: between nothing and five minutes."""
    waits = [
        retry_seconds(9, Most(), outcome_unknown=False, retry_after_seconds=after) for after in (-1, 7, 86_400, 1e300)
    ]
    assert waits == [0, 7, RETRY_AFTER_LIMIT_SECONDS, RETRY_AFTER_LIMIT_SECONDS]
