"""No more than so many records a second."""

from collections.abc import Awaitable, Callable

from meter.clock import Clock

_STEP_SECONDS = 0.25
"""What is due in this time goes at once: an even pace, and still few round trips."""


class Pace:
    """Waits before each step as long as the pace asks for; without one it never waits."""

    def __init__(
        self, per_second: float | None, most_at_once: int, clock: Clock, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._sent = 0
        self._started_at: float | None = None
        due = most_at_once if per_second is None else int(per_second * _STEP_SECONDS)
        self.at_once = max(1, min(most_at_once, due))
        """How many may be sent in one step."""

    async def step(self, count: int) -> None:
        """Returns when the next `count` may be sent."""
        now = self._clock.now().steady_seconds
        self._started_at = now if self._started_at is None else self._started_at
        await self._sleep(pause_seconds(self._sent, now - self._started_at, self._per_second))
        self._sent += count


def pause_seconds(sent: int, elapsed_seconds: float, per_second: float | None) -> float:
    """How long to wait before the next record, so that the rate is kept."""
    return 0.0 if per_second is None else max(0.0, sent / per_second - elapsed_seconds)
