"""What waits to be sent, and when a batch is due."""

import math

from meter.pipeline.buffer import ENVELOPE_BYTES, BatchLimits, Buffer
from tests.builders import event, events


def buffer(max_events: int = 3, max_bytes: int = 10_000) -> Buffer:
    return Buffer(BatchLimits(max_events, max_bytes, max_age_seconds=1.0))


def test_a_batch_is_due_by_count_by_bytes_or_by_age() -> None:
    """And it says which."""
    one, two = event("a"), event("b", offset=1)
    waiting = buffer()
    waiting.add([one], 10.0)
    assert waiting.due(10.9) is None
    assert waiting.due(11.0) == "age"
    waiting.add([two, event("c", offset=2)], 11.0)
    assert waiting.due(11.0) == "count"
    small = buffer(max_bytes=len(one.body) + ENVELOPE_BYTES)
    small.add([one], 10.0)
    assert small.due(10.0) == "bytes"


def test_draining_sends_what_is_there() -> None:
    """Nobody waits for more; an empty buffer has nothing to send."""
    waiting = buffer()
    assert waiting.due(0.0, draining=True) is None
    waiting.add(events("a"), 0.0)
    assert waiting.due(0.0, draining=True) == "drain"


def test_the_oldest_leave_first_and_the_rest_keep_their_age() -> None:
    """What came later is due later."""
    waiting = buffer(max_events=2)
    waiting.add(events("a"), 10.0)
    waiting.add(events("b", "c"), 10.5)
    assert [one.key for one in waiting.take(10_000)] == ["a", "b"]
    assert waiting.next_due() == 11.5
    assert [one.key for one in waiting.take(10_000)] == ["c"]
    assert waiting.next_due() == math.inf


def test_a_batch_fits_into_the_bytes_it_may_have() -> None:
    """The body as it is sent, envelope and commas included, is never larger; one event alone may be."""
    waiting = buffer(max_events=100)
    waiting.add([event(f"k{number}", offset=number) for number in range(10)], 0.0)
    size = len(event("k0").body) + 1
    assert len(waiting.take(ENVELOPE_BYTES + 3 * size)) == 3
    assert len(waiting.take(ENVELOPE_BYTES + 4 * size - 1)) == 3
    assert len(waiting.take(1)) == 1
    assert len(waiting) == 3


def test_a_full_buffer_is_due_at_once() -> None:
    """`next_due` agrees with `due`: whoever sleeps until then finds a batch."""
    waiting = buffer(max_events=2)
    waiting.add(events("a", "b"), 5.0)
    assert waiting.next_due() == 5.0
    waiting.take(10_000)
    waiting.add(events("c"), 6.0)
    assert waiting.due(waiting.next_due()) == "age"


def test_events_of_an_assignment_that_is_over_are_discarded() -> None:
    """The others stay in order, and are not younger than they were."""
    waiting = buffer(max_events=100)
    waiting.add([event("a", epoch=1), event("b", epoch=2, offset=1), event("c", epoch=1, offset=2)], 3.0)
    assert [one.key for one in waiting.discard(frozenset({1}))] == ["a", "c"]
    assert (len(waiting), waiting.next_due()) == (1, 4.0)
    assert [one.key for one in waiting.take(10_000)] == ["b"]
    assert waiting.discard(frozenset({1})) == []


def test_one_from_the_middle_leaves_the_age_of_the_others() -> None:
    """A probe may be any of them; a buffer that it has emptied is due at no time."""
    waiting = buffer(max_events=5)
    waiting.add(events("a", "b"), 10.0)
    waiting.add(events("c"), 10.5)
    assert [one.key for one in waiting.events()] == ["a", "b", "c"]
    assert waiting.take_at(1).key == "b"
    assert (len(waiting), waiting.next_due()) == (2, 11.0)
    assert waiting.take_at(0).key == "a"
    assert (len(waiting), waiting.next_due()) == (1, 11.5)
    assert waiting.take_at(0).key == "c"
    assert (len(waiting), waiting.next_due()) == (0, math.inf)
    waiting.add(events("d"), 20.0)
    assert [one.key for one in waiting.take(10_000)] == ["d"]
