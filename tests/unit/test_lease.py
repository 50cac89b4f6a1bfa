"""How long meter may send, and when it commits."""

import math

from meter.pipeline.lease import KEEPALIVE_SECONDS, MOVED_SECONDS, Commits
from meter.pipeline.start import Committed


def commits(position: int = 5) -> Commits:
    one = Commits(lease_seconds=18.0)
    one.assigned({0: position}, started_at=100.0)
    return one


def test_without_an_assignment_there_is_no_lease() -> None:
    """A process that never joined may send nothing."""
    assert Commits(18.0).lease_until() == -math.inf


def test_the_lease_runs_from_the_start_of_the_commit_and_not_from_its_answer() -> None:
    """The broker renewed the session some time between the two; only the start is sure."""
    one = commits()
    assert one.lease_until() == 118.0
    one.start({0: Committed(6, "")}, 101.0)
    assert one.lease_until() == 118.0
    one.accept(109.0)
    assert one.lease_until() == 119.0


def test_a_commit_that_nobody_answered_for_renews_nothing() -> None:
    """The lease goes on as it was; what was sent may be sent again."""
    one = commits()
    one.start({0: Committed(6, "")}, 101.0)
    one.fail(lost=False)
    assert one.lease_until() == 118.0
    assert one.due_at({0: 6}, is_holding=False) == 101.0 + MOVED_SECONDS


def test_it_is_known_for_how_long_no_commit_was_accepted() -> None:
    """From the first attempt on, and not for one or two that failed: a stopped process would think the same."""
    one = commits()
    for attempt in range(3):
        assert one.refused_seconds(150.0) == 0.0
        one.start({0: Committed(6, "")}, 101.0 + attempt)
        one.fail(lost=attempt == 1)
    assert one.refused_seconds(131.0) == 30.0
    one.start({0: Committed(6, "")}, 132.0)
    one.accept(132.1)
    assert one.refused_seconds(190.0) == 0.0


def test_losing_membership_ends_the_lease_at_once() -> None:
    """Nothing is sent until the next assignment."""
    one = commits()
    one.start({0: Committed(6, "")}, 101.0)
    one.fail(lost=True)
    assert one.lease_until() == -math.inf
    one.assigned({0: 5}, started_at=110.0)
    assert one.lease_until() == 128.0


def test_one_commit_is_outstanding_at_a_time() -> None:
    """C5: an older one that is tried again cannot overtake a newer one."""
    one = commits()
    one.start({0: Committed(6, "")}, 101.0)
    assert one.due_at({0: 9}, is_holding=True) == math.inf
    one.accept(102.0)
    assert one.due_at({0: 9}, is_holding=True) == 101.0 + MOVED_SECONDS


def test_while_events_are_held_a_commit_keeps_the_lease() -> None:
    """Moved or not, at least every second; with nothing held and nothing moved, none."""
    one = commits()
    assert one.due_at({0: 5}, is_holding=True) == 100.0 + KEEPALIVE_SECONDS <= 101.0
    assert one.due_at({0: 5}, is_holding=False) == math.inf


def test_an_answer_that_comes_after_the_end_counts_for_nothing() -> None:
    """Accepted after it was given up: no lease from it."""
    one = commits()
    one.start({0: Committed(6, "")}, 101.0)
    one.fail(lost=True)
    one.accept(102.0)
    assert one.lease_until() == -math.inf


def test_while_an_earlier_owner_may_be_sending_there_is_a_lease_and_nothing_is_sent() -> None:
    """M7: commits renew the lease meanwhile."""
    one = Commits(lease_seconds=18.0)
    one.wait(130.0)
    one.assigned({0: 5}, started_at=100.0)
    assert not one.may_send(100.1)
    one.start({0: Committed(5, "")}, 129.0)
    one.accept(129.1)
    assert not one.may_send(129.9)
    assert one.may_send(130.0)
    assert not one.may_send(147.0)
