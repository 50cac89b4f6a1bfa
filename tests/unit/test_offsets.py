"""What has no end yet in one partition, and how far it may be committed."""

from meter.pipeline.offsets import Progress


def progress(position: int = 0) -> Progress:
    one = Progress(0, 1, position, receipts_offset=0, steady_seconds=0.0)
    one.tail_read()
    return one


def test_the_commit_position_is_the_lowest_offset_without_an_end() -> None:
    """Invariant 1: what ended above a gap does not move it; the gap's end moves it past all of them."""
    one = progress(10)
    one.begin([10, 11, 12, 13])
    one.end([11, 13], 1.0)
    assert one.commit_position() == 10
    one.end([10], 2.0)
    assert one.commit_position() == 12
    one.end([12], 3.0)
    assert one.commit_position() == 14


def test_gaps_and_markers_are_committed_when_nothing_is_held() -> None:
    """C7: the consumer's own position counts, but only when every record below it has ended."""
    one = progress()
    one.begin([0, 3])
    one.advance(7)
    assert one.commit_position() == 0
    one.end([0, 3], 1.0)
    assert one.commit_position() == 7
    one.advance(5)
    assert one.commit_position() == 7


def test_ended_offsets_above_a_gap_count_as_load_and_not_as_held() -> None:
    """Invariant 8: they take memory until they can be committed, though nothing of them is held."""
    one = progress()
    one.begin(list(range(100)))
    one.end(range(1, 100), 0.0)
    assert (one.held(), one.load()) == (1, 100)
    one.end([0], 0.0)
    assert (one.held(), one.load()) == (0, 0)


def test_a_partition_is_blocked_from_when_something_ended_behind_a_gap() -> None:
    """An outage is no blockade: only ended offsets that cannot be committed start the clock."""
    one = progress()
    one.begin([0, 1, 2])
    assert one.blocked_seconds(60.0) == 0.0
    one.end([1], 60.0)
    assert one.blocked_seconds(70.0) == 10.0
    one.end([2], 80.0)
    assert one.blocked_seconds(100.0) == 40.0
    one.end([0], 100.0)
    assert one.blocked_seconds(200.0) == 0.0


def test_receipts_of_offsets_above_the_commit_are_read_again() -> None:
    """C8: the note points at the oldest receipt that names an offset at or above the commit position."""
    one = progress()
    one.begin(list(range(6)))
    for number, offset in ((4, 1), (5, 2), (6, 0)):
        one.receipt_started(number, offset)
        one.receipt_written(number, number, offset)
    one.end([1, 2], 0.0)
    assert one.receipts_offset() == 4
    one.end([0], 0.0)
    assert one.receipts_offset() == 7


def test_a_receipt_whose_acknowledgement_is_missing_is_read_again() -> None:
    """C8: it may stand in the log already, below one that was acknowledged before it."""
    one = progress()
    one.begin(list(range(4)))
    one.receipt_started(1, 1)
    one.receipt_started(2, 3)
    one.receipt_written(1, 11, 1)
    one.end([0, 1], 0.0)
    assert one.receipts_offset() == 0
    one.receipt_written(2, 12, 3)
    assert one.receipts_offset() == 12
    one.end([2, 3], 0.0)
    assert one.receipts_offset() == 13


def test_receipts_of_an_earlier_process_stay_in_the_note() -> None:
    """C8: until the tail has been read the old note holds, and then what was found there above the commit."""
    one = Progress(0, 1, 0, receipts_offset=5, steady_seconds=0.0)
    one.receipt_read(7, 3)
    one.receipt_written(1, 20, 9)
    assert one.receipts_offset() == 5
    one.tail_read()
    assert one.receipts_offset() == 7
    one.advance(4)
    assert one.receipts_offset() == 20


def test_several_receipts_told_at_one_place_all_count() -> None:
    """The broker need not say where they stand: then it is told the last place that is known, and the highest offset
    of them keeps it in the note."""
    one = progress()
    one.begin(list(range(101)))
    one.receipt_read(5, 100)
    one.receipt_read(5, 90)
    one.receipt_read(5, 95)
    one.end(range(96), 1.0)
    assert one.receipts_offset() == 5


def test_a_receipt_that_is_never_acknowledged_is_forgotten_when_the_commit_has_passed_it() -> None:
    """It was split, or given up: kept, thousands of them would be looked at in every commit."""
    one = progress()
    for number in range(100):
        one.begin([number])
        one.receipt_started(number, number)
        one.end([number], 1.0)
        one.receipts_offset()
    assert len(one._unacknowledged) <= 1  # noqa: SLF001  # what it keeps in memory is all that this is about
