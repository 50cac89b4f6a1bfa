"""Where a partition begins."""

import pytest

from meter.pipeline.start import (
    Bounds,
    Choice,
    CommitNote,
    Committed,
    Refused,
    Start,
    choose,
    decode_note,
    encode_note,
    plan_starts,
)

FULL = {0: Bounds(0, 10), 1: Bounds(5, 9)}
EMPTY = {0: Bounds(0, 0), 1: Bounds(7, 7)}
LATEST = Choice("latest", 1000.0, 2)


def committed(offset: int, choice: Choice | None = None, receipts_offset: int = 0) -> Committed:
    return Committed(offset, encode_note(CommitNote(choice, receipts_offset)))


def test_a_note_comes_back_as_it_was_written() -> None:
    """What a later owner needs: the choice, and where to read receipts."""
    note = CommitNote(LATEST, 17)
    assert decode_note(encode_note(note)) == note


@pytest.mark.parametrize("metadata", ["", "somebody else's", "[]", "null", '{"choice":3}', "\ud800"])
def test_other_peoples_metadata_is_an_empty_note(metadata: str) -> None:
    """A group that was moved by another tool still starts."""
    assert decode_note(metadata) == CommitNote()


def test_a_topic_with_records_wants_a_choice() -> None:
    """Neither billing a whole retention nor skipping it happens by itself; the refusal says how many there are."""
    assert choose({}, FULL, "refuse", 1000.0) == Refused(14)
    assert choose({}, FULL, "latest", 1000.0) == LATEST


def test_an_empty_topic_needs_no_choice() -> None:
    """S3: what comes later starts at the beginning, wherever that is."""
    choice = choose({}, EMPTY, "refuse", 1000.0)
    assert choice == Choice("earliest", 1000.0, 2)
    assert plan_starts([1], {}, EMPTY, choice) == {1: Start(7)}


def test_the_first_choice_is_the_one_that_counts() -> None:
    """Whatever is configured later, and whichever replica committed which partition."""
    earlier, later = Choice("latest", 1000.0, 2), Choice("earliest", 2000.0, 4)
    commits = {0: committed(3, later), 1: committed(4, earlier)}
    assert choose(commits, FULL, "earliest", 3000.0) == earlier


def test_a_group_of_somebody_else_goes_on_where_it_stood() -> None:
    """Its commits are kept, and partitions without one begin at their beginning."""
    commits = {0: Committed(3, "theirs")}
    choice = choose(commits, FULL, "refuse", 1000.0)
    assert isinstance(choice, Choice)
    assert plan_starts([0, 1], commits, FULL, choice) == {0: Start(3), 1: Start(5)}


def test_a_partition_without_a_commit_follows_the_choice_as_of_its_time() -> None:
    """S2: even if the process that chose died before it committed this one."""
    assert plan_starts([1], {0: committed(3, LATEST)}, FULL, LATEST) == {1: Start(5, at_seconds=1000.0)}


def test_a_partition_that_was_added_later_starts_at_its_beginning() -> None:
    """S4: nobody chose to skip it."""
    bounds = FULL | {2: Bounds(0, 4)}
    assert plan_starts([2], {}, bounds, LATEST) == {2: Start(0)}


def test_a_commit_is_where_a_partition_goes_on() -> None:
    """S1: also one that stands at an idle partition's end."""
    commits = {0: committed(10, LATEST, receipts_offset=6)}
    assert plan_starts([0], commits, FULL, LATEST) == {0: Start(10, 6)}


def test_a_commit_that_fell_out_of_retention_names_what_is_lost() -> None:
    """S5: never silently."""
    assert plan_starts([1], {1: committed(2, LATEST, 6)}, FULL, LATEST) == {1: Start(5, 6, lost=Bounds(2, 5))}


def test_a_commit_beyond_the_end_goes_on_at_its_own_time() -> None:
    """A topic that was recreated has nothing older, one that lost its end has; an hour is for clocks that are off."""
    commits = {1: Committed(99, encode_note(CommitNote(LATEST, 17, at=10_000.0)))}
    assert plan_starts([1], commits, FULL, LATEST) == {1: Start(5, at_seconds=6400.0, beyond=FULL[1])}


def test_a_commit_beyond_the_end_of_which_nobody_knows_the_time_goes_back_to_the_beginning() -> None:
    """Nothing is lost; and every receipt is read, so that what was handled is recognised."""
    assert plan_starts([1], {1: committed(99, LATEST, 17)}, FULL, LATEST) == {1: Start(5, 0, beyond=FULL[1])}
