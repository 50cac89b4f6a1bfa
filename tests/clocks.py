"""Clocks for tests."""

import time

from meter.pipeline.now import Now
from tests.records import NOW_SECONDS


class HandClock:
    """Stands still until the test turns it."""

    def __init__(self, steady_seconds: float = 100.0) -> None:
        self._now = Now(steady_seconds, NOW_SECONDS)

    def now(self) -> Now:
        """This moment."""
        return self._now

    def turn(self, seconds: float) -> None:
        """So much later."""
        self._now = Now(self._now.steady_seconds + seconds, self._now.wall_seconds + seconds)


class RunningClock:
    """Runs as time does, and can be put forward: waits that a test does not want to sit out."""

    def __init__(self) -> None:
        self.asked_total = 0
        """How often somebody wanted to know."""
        self._ahead_seconds = 0.0

    def now(self) -> Now:
        """This moment."""
        self.asked_total += 1
        return Now(time.monotonic() + self._ahead_seconds, time.time() + self._ahead_seconds)

    def turn(self, seconds: float) -> None:
        """So much later."""
        self._ahead_seconds += seconds
