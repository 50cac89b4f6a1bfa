"""Partitions from which nothing arrives, told from those that are slow and those that have nothing."""

from meter.pipeline.start import Bounds
from meter.stalls import Stalls


def test_a_partition_that_stands_still_with_records_left_is_found() -> None:
    """Once it has done so for the whole time, and not before; that more records come is no movement."""
    stalls = Stalls(30.0)
    assert stalls.look({3: 5}, {3: Bounds(0, 105)}, 10.0) == []
    assert stalls.look({3: 9}, {3: Bounds(0, 109)}, 39.9) == []
    assert stalls.look({3: 9}, {3: Bounds(0, 109)}, 40.0) == [3]


def test_one_that_moves_is_not() -> None:
    """However far behind it is."""
    stalls = Stalls(30.0)
    assert [stalls.look({3: 900 - at}, {3: Bounds(0, 900)}, 10.0 * at) for at in range(10)] == [[]] * 10


def test_one_without_records_or_of_which_nothing_is_known_begins_anew() -> None:
    """Paused, caught up, or the broker did not say: none of that counts as standing still."""
    stalls = Stalls(30.0)
    ends = {3: Bounds(0, 105), 4: Bounds(0, 12)}
    stalls.look({3: 5, 4: 5}, ends, 10.0)
    stalls.look({4: 0}, ends, 20.0)
    assert stalls.look({3: 5, 4: 5}, ends, 45.0) == []
