"""The partitions that are ours: bounds, pauses and what a receipt recognises."""

from meter.pipeline.assignment import BLOCKED_AFTER_SECONDS, Assignment
from meter.pipeline.event import UsageEvent
from meter.pipeline.start import Start, decode_note
from tests.builders import CHOICE, event


def assignment(*partitions: int, events: int = 40, size: int = 1_000_000, filled: bool = True) -> Assignment:
    one = Assignment(events, size)
    one.begin({partition: Start(0, receipts_offset=3) for partition in partitions}, CHOICE, 0.0)
    for partition in partitions if filled else ():
        one.window_filled(partition)
    return one


def begin(one: Assignment, partition: int, count: int) -> list[UsageEvent]:
    progress = one.progress(partition)
    assert progress is not None
    offsets = list(range(progress.position, progress.position + count))
    progress.begin(offsets)
    return [event(f"k{n}", offset=n, partition=partition, epoch=progress.epoch) for n in offsets]


def paused(one: Assignment, seconds: float = 0.0, *, only_refused_held: bool = False) -> set[int]:
    return set(one.paused(seconds, all_of_them=False, only_refused_held=only_refused_held))


def test_a_partition_takes_records_once_its_window_is_filled() -> None:
    """Before that a copy could not be told from an original."""
    one = assignment(0, 1, filled=False)
    assert paused(one) == {0, 1}
    one.window_filled(1)
    assert paused(one) == {0}


def test_a_full_partition_is_paused_and_the_others_go_on() -> None:
    """Invariant 8: each has its share, and takes records again with some room in it, not with every event."""
    one = assignment(0, 1)
    held = begin(one, 0, 20)
    assert paused(one) == {0}
    one.ended(0, held[:1], 0.0)
    assert paused(one) == {0}
    one.ended(0, held[1:6], 0.0)
    assert paused(one) == set()


def test_bytes_are_bounded_as_well_as_events() -> None:
    """A few large records fill a partition like many small ones."""
    one = assignment(0, size=1000)
    progress = one.progress(0)
    assert progress is not None
    progress.held_bytes = 1000
    assert paused(one) == {0}


def test_ended_events_that_cannot_be_committed_fill_the_partition() -> None:
    """C8: one event without an end does not let memory grow with everything behind it."""
    one = assignment(0)
    held = begin(one, 0, 40)
    one.ended(0, held[1:], 0.0)
    assert one.held() == 1
    assert paused(one) == {0}


def test_a_blocked_partition_takes_no_new_records() -> None:
    """One event has kept others uncommitted for too long; the other partition goes on."""
    one = assignment(0, 1)
    held = begin(one, 0, 3)
    one.ended(0, held[1:], 10.0)
    assert paused(one, 10.0 + BLOCKED_AFTER_SECONDS - 1) == set()
    assert paused(one, 10.0 + BLOCKED_AFTER_SECONDS) == {0}
    one.ended(0, held[:1], 50.0)
    assert paused(one, 50.0) == set()


def test_with_nothing_but_refused_events_a_little_more_is_let_in() -> None:
    """Only a new event's acceptance can tell whose fault the refusals are; still bounded: twice what is held."""
    one = assignment(0)
    begin(one, 0, 40)
    assert paused(one, 100.0) == {0}
    assert paused(one, 100.0, only_refused_held=True) == set()
    begin(one, 0, 40)
    assert paused(one, 100.0, only_refused_held=True) == {0}


def test_what_has_ended_behind_refused_events_keeps_no_new_event_out_for_long() -> None:
    """An ended offset is only a number: ten times as many of them as events are remembered then, and no more."""
    one = assignment(0)
    held = begin(one, 0, 399)
    one.ended(0, held[1:], 0.0)
    assert paused(one, 100.0) == {0}
    assert paused(one, 100.0, only_refused_held=True) == set()
    one.ended(0, begin(one, 0, 2), 0.0)
    assert paused(one, 100.0, only_refused_held=True) == {0}


def test_ends_of_an_older_assignment_move_nothing() -> None:
    """Invariant 6: the partition came back, and its offsets are held anew."""
    one = assignment(0)
    old = begin(one, 0, 3)
    assert one.end() == 3
    one.begin({0: Start(0)}, CHOICE, 0.0)
    begin(one, 0, 3)
    assert one.ended(0, old, 0.0) == 0
    assert one.positions() == {0: 0}


def test_epochs_are_never_used_again() -> None:
    """One number names one partition in one assignment."""
    one = assignment(0, 1)
    seen = set(one.live_epochs())
    for _ in range(5):
        one.begin({0: Start(0), 1: Start(0)}, CHOICE, 0.0)
        assert not seen & one.live_epochs()
        seen |= one.live_epochs()


def test_an_offset_that_a_receipt_names_is_recognised_once_and_only_with_its_key() -> None:
    """W9; and a topic that was recreated has other events at the same offsets."""
    one = assignment(0)
    one.recognise(0, 3, [0, 1], ["k0", "other"])
    first, second = begin(one, 0, 2)
    assert one.take_recognised(0, [first, second]) == [first]
    assert one.take_recognised(0, [first, second]) == []


def test_only_the_gap_in_the_receipts_is_read_again() -> None:
    """M9: a window survives revocation with what it covers; receipts above the commit are read in any case."""
    one = assignment(0, filled=False)
    assert one.fill_from(0, tail_offset=2) == 2
    one.receipt_read(0, 50)
    assert one.fill_from(0, tail_offset=2) == 3
    one.begin({0: Start(0, receipts_offset=90)}, CHOICE, 0.0)
    assert one.fill_from(0, tail_offset=2) == 51
    assert one.fill_from(0, tail_offset=70) == 70
    assert one.fill_from(0, tail_offset=99) == 90


def test_our_own_receipts_are_not_read_again() -> None:
    """Each stands right behind what is covered, as long as nobody else writes."""
    one = assignment(0)
    assert one.fill_from(0, tail_offset=2) == 2
    for receipts_offset in (2, 3, 4):
        one.receipt_written(0, receipts_offset, receipts_offset, [0])
    one.begin({0: Start(0, receipts_offset=90)}, CHOICE, 0.0)
    assert one.fill_from(0, tail_offset=2) == 5


def test_our_own_receipt_hides_none_that_somebody_else_wrote() -> None:
    """A process that slept writes the receipts of its last batch among those of who has its partition now."""
    one = assignment(0)
    assert one.fill_from(0, tail_offset=2) == 2
    one.receipt_written(0, 1, 2, [0])
    one.receipt_written(0, 2, 4, [1])
    one.receipt_written(0, 3, 5, [2])
    one.begin({0: Start(0, receipts_offset=90)}, CHOICE, 0.0)
    assert one.fill_from(0, tail_offset=2) == 3


def test_a_commit_carries_the_choice_and_where_to_read_receipts() -> None:
    """Everything a later owner cannot know."""
    one = assignment(0)
    held = begin(one, 0, 2)
    one.receipt_started(0, 1, [0])
    one.receipt_written(0, 1, 7, [0])
    one.ended(0, held[:1], 0.0)
    commit = one.commits(1000.0)[0]
    assert commit.offset == 1
    assert decode_note(commit.metadata).choice == CHOICE
    assert decode_note(commit.metadata).receipts_offset == 8
