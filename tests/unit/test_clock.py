"""Time as the core is told it."""

import time

from meter.clock import SystemClock


def test_steady_seconds_begin_at_nothing_and_never_go_back() -> None:
    """Durations can be taken from any two readings."""
    clock = SystemClock()
    readings = [clock.now().steady_seconds for _ in range(100)]
    assert 0.0 <= readings[0] < 1.0
    assert readings == sorted(readings)


def test_wall_seconds_are_unix_time() -> None:
    """What is billed or shown."""
    before = time.time()
    assert before <= SystemClock().now().wall_seconds <= time.time()


class Hands:
    """Two clocks set by hand."""

    def __init__(self) -> None:
        self.boot, self.wall = 50.0, 1000.0
        self.clock = SystemClock(lambda: self.boot, lambda: self.wall)

    def move(self, boot: float, wall: float) -> float:
        """Both clocks move; how many steady seconds have passed since the first reading."""
        self.boot += boot
        self.wall += wall
        return self.clock.now().steady_seconds


def test_time_asleep_counts() -> None:
    """M3: where the boot clock stood still, the wall clock says how long."""
    hands = Hands()
    assert hands.move(1.0, 1.0) == 1.0
    assert hands.move(0.0, 120.0) == 121.0
    assert hands.move(1.0, 1.0) == 122.0


def test_a_wall_clock_that_was_wrong_for_a_while_does_not_stop_time() -> None:
    """An hour ahead and back again: a lease ends early, but time never stands still afterwards."""
    hands = Hands()
    assert hands.move(1.0, 3601.0) == 3601.0
    assert hands.move(1.0, -3599.0) == 3602.0
    assert hands.move(1.0, 1.0) == 3603.0


def test_a_wall_clock_that_is_adjusted_changes_nothing() -> None:
    """Many small corrections do not add up."""
    hands = Hands()
    for _ in range(1000):
        hands.move(0.001, 0.002)
    assert abs(hands.move(0.0, 0.0) - 1.0) < 1e-6
