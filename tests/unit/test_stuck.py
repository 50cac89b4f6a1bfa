"""How soon `/healthz` says that nothing moves: looks come as they do in a process, in virtual time."""

from collections.abc import Callable

import pytest

from meter.health import ends_every_seconds
from meter.pipeline.start import Bounds
from meter.watchdog import LOOK_EVERY_SECONDS
from tests.builders import records
from tests.replicas import Replica

BEAT_SECONDS = LOOK_EVERY_SECONDS / 2

TIMES = pytest.mark.parametrize("stuck_after_seconds", [4.0, 8.0, 12.0, 60.0, 600.0])
PHASES = pytest.mark.parametrize("phase", [0.01, 0.26, 0.49, 0.77, 0.99])
"""Where between two looks it happens: they see it late, and the promise counts from when it was."""


def seconds_until_healthz_fails(
    replica: Replica, stuck_after_seconds: float, phase: float, at_once: Callable[[], object] = lambda: None
) -> float:
    """Since a record came to the broker, while the process did `at_once`; from outside it is asked only in the end."""
    ends_seconds = ends_every_seconds(stuck_after_seconds)
    happens_at, seen_at = ends_seconds * (4 + phase), ends_seconds * 5
    asked_at = happens_at + stuck_after_seconds
    beats = [number * BEAT_SECONDS for number in range(int(asked_at / BEAT_SECONDS) + 1)]
    now = 0.0
    for at in sorted({*beats, happens_at, seen_at, asked_at}):
        replica.pass_time(at - now)
        now = at
        if at == happens_at:
            at_once()
        elif at == seen_at:
            replica.worker.ends = {0: Bounds(0, 4), 1: Bounds(0, 0)}
        elif not (replica.standing.beat() if at in beats else replica.standing.alive()):
            return now - happens_at
    raise AssertionError("alive after all the time allowed")


@TIMES
@PHASES
def test_healthz_fails_within_the_time_allowed_since_the_last_progress(
    stuck_after_seconds: float, phase: float
) -> None:
    """And not before three quarters of it."""
    replica = Replica(stuck_after_seconds)
    replica.driver.feed(0, *records(0, 3))
    seconds = seconds_until_healthz_fails(
        replica, stuck_after_seconds, phase, at_once=lambda: replica.standing.batch_sent(3)
    )
    assert 0.75 * stuck_after_seconds <= seconds <= stuck_after_seconds


@TIMES
@PHASES
def test_healthz_fails_within_the_time_allowed_since_the_first_record_that_nobody_reads(
    stuck_after_seconds: float, phase: float
) -> None:
    """However long it was quiet before."""
    replica = Replica(stuck_after_seconds)
    replica.worker.ends = {0: Bounds(0, 0), 1: Bounds(0, 0)}
    seconds = seconds_until_healthz_fails(replica, stuck_after_seconds, phase)
    assert 0.75 * stuck_after_seconds - BEAT_SECONDS <= seconds <= stuck_after_seconds
