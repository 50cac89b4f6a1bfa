"""Time, as the edges read it and the core is told it.

The core never asks for the time: it is handed a `Now`. `steady_seconds` never goes back and also counts
the time that the machine was suspended or the process stopped, so that a lease ends when it should.
"""

import time
from typing import Protocol

from meter.pipeline.now import Now

__all__ = ["Clock", "Now", "SystemClock"]


class Clock(Protocol):
    """Anything that knows what time it is."""

    def now(self) -> Now:
        """This moment."""


class SystemClock:
    """The machine's clocks; elapsed time is the larger of boot clock and wall clock."""

    def __init__(self) -> None:
        self._boot_at_start = _boot_seconds()
        self._wall_at_start = time.time()
        self._steady = 0.0

    def now(self) -> Now:
        """Steady seconds since this clock was made, and Unix time."""
        wall = time.time()
        elapsed = max(_boot_seconds() - self._boot_at_start, wall - self._wall_at_start)
        self._steady = max(self._steady, elapsed)
        return Now(self._steady, wall)


def _boot_seconds() -> float:
    """CLOCK_BOOTTIME where there is one: unlike the monotonic clock it runs on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
