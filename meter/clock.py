"""Time, as the edges read it and the core is told it.

The core never asks for the time: it is handed a `Now`. `steady_seconds` never goes back and also counts
the time that the machine was suspended or the process stopped, so that a lease ends when it should.
"""

import time
from collections.abc import Callable
from typing import Protocol

from meter.pipeline.now import Now

__all__ = ["Clock", "Now", "SystemClock"]

Seconds = Callable[[], float]

SLEPT_SECONDS = 0.05
"""Less than this between the two clocks is adjustment, not sleep."""


class Clock(Protocol):
    """Anything that knows what time it is."""

    def now(self) -> Now:
        """This moment."""


class SystemClock:
    """The machine's clocks. What has passed since the last reading is what the boot clock says; where the wall
    clock says clearly more, the boot clock has slept. A wall clock that is set back costs nothing."""

    def __init__(self, boot_seconds: Seconds | None = None, wall_seconds: Seconds = time.time) -> None:
        self._read_boot = boot_seconds or _boot_seconds
        self._read_wall = wall_seconds
        self._boot, self._wall = self._read_boot(), self._read_wall()
        self._steady = 0.0

    def now(self) -> Now:
        """Steady seconds since this clock was made, and Unix time."""
        boot, wall = self._read_boot(), self._read_wall()
        by_boot, by_wall = boot - self._boot, wall - self._wall
        self._steady += by_wall if by_wall > by_boot + SLEPT_SECONDS else by_boot
        self._boot, self._wall = boot, wall
        return Now(self._steady, wall)


def _boot_seconds() -> float:
    """CLOCK_BOOTTIME where there is one: unlike the monotonic clock it runs on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
