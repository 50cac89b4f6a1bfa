"""The window of accepted ids, by example."""

from meter.pipeline.dedupe import Window
from meter.pipeline.ring import Ring


def test_an_id_is_found_with_its_digest_and_others_are_not() -> None:
    """Looking up answers index -> digest, for remembered ids only."""
    window = Window(max_ids=10, window_seconds=60)
    window.remember(["a", "b"], [1, 2**32 - 1], wall_seconds=0)
    assert window.lookup(["x", "b", "a", "b"]) == {1: 2**32 - 1, 2: 1, 3: 2**32 - 1}
    assert "a" in window
    assert "x" not in window
    assert len(window) == 2


def test_an_empty_window_knows_nothing() -> None:
    """Neither an empty window nor an empty question is a special case for the caller."""
    window = Window(max_ids=10, window_seconds=60)
    window.expire(0)
    window.remember([], [], wall_seconds=0)
    assert window.lookup([]) == {}
    assert window.lookup(["a"]) == {}
    assert len(window) == 0


def test_the_oldest_leave_first_when_it_is_full() -> None:
    """Never more than `max_ids`, and always the last ones."""
    window = Window(max_ids=3, window_seconds=60)
    for number in range(20):
        window.remember([str(number)], [number], wall_seconds=number)
    assert [str(number) for number in range(20) if str(number) in window] == ["17", "18", "19"]
    assert len(window) == 3


def test_an_id_leaves_by_age_but_not_before() -> None:
    """An id stays `window_seconds`, and a thousandth of that at most longer."""
    window = Window(max_ids=10, window_seconds=1000)
    window.remember(["a"], [1], wall_seconds=0)
    window.remember(["b"], [2], wall_seconds=500)
    window.expire(1000)
    assert window.lookup(["a", "b"]) == {0: 1, 1: 2}
    window.expire(1002)
    assert window.lookup(["a", "b"]) == {1: 2}


def test_remembering_an_id_again_keeps_what_was_billed_first() -> None:
    """The digest in the window is that of the event that was billed; repeats of a receipt neither change nor count."""
    window = Window(max_ids=10, window_seconds=60)
    window.remember(["a", "a"], [1, 2], wall_seconds=0)
    window.remember(["a", "b"], [3, 4], wall_seconds=1)
    assert window.lookup(["a", "b"]) == {0: 1, 1: 4}
    assert len(window) == 2


def test_a_corrected_event_is_no_duplicate_of_a_dead_letter() -> None:
    """W2: only accepted ids are remembered, so an id that was only looked up stays unknown."""
    window = Window(max_ids=10, window_seconds=60)
    assert window.lookup(["x"]) == {}
    assert window.lookup(["x"]) == {}


def test_an_id_takes_less_than_sixty_bytes() -> None:
    """A window for two million ids, age and digest included."""
    assert Ring(2_000_000).memory_bytes < 60 * 2_000_000
    window = Window(max_ids=2_000_000, window_seconds=86400)
    window.remember(["a"], [1], wall_seconds=0)
    assert "a" in window


def test_it_knows_how_far_back_it_goes() -> None:
    """By age while there is room; once it is full, as far as the oldest id that is left."""
    window = Window(max_ids=3, window_seconds=1000)
    assert window.reach_seconds(0) is None
    for number in range(3):
        assert not window.is_full
        window.remember([str(number)], [number], wall_seconds=100.0 * number)
    assert window.is_full
    assert window.reach_seconds(250) == 250
    window.remember(["3"], [3], wall_seconds=300)
    assert window.reach_seconds(300) == 200
    window.expire(2000)
    assert (window.reach_seconds(2000), window.is_full) == (None, False)
