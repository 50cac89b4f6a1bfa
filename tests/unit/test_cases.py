"""Interleavings that broke some design, by their numbers: commit position and membership."""

from typing import Any

from meter.pipeline.buffer import BatchLimits
from meter.pipeline.outcome import Rejected
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite
from meter.pipeline.start import were_given_back
from tests.builders import BUSY, TIMEOUT, Driver, bad_record, keys, record, records

THOUSANDS = 5_001


def flush(driver: Driver) -> None:
    """What waits becomes old enough to be sent."""
    driver.pass_time(1.1)


def commit(driver: Driver) -> None:
    """What has ended is committed."""
    driver.pass_time(0.3)


# Commit position


def test_c1_a_dead_letter_that_is_under_way_holds_the_position() -> None:
    """Killed before it is acknowledged, its event comes again."""
    driver = Driver(0)
    driver.feed(0, bad_record(0), *records(1, 4))
    letter = driver.writes.pop(0)
    driver.bill()
    assert driver.position() == 0
    driver.acknowledge(letter)
    assert driver.position() == 4


def test_c1_a_receipt_that_is_under_way_holds_the_position() -> None:
    """Accepted, but nobody could know after a restart."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer()
    assert driver.position() == 0
    driver.write()
    assert driver.position() == 3


def test_c2_a_copy_waits_for_its_original_in_another_partition() -> None:
    """Else its partition would be committed, and the original could still be lost."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "a"))
    driver.feed(1, record(0, "a"))
    flush(driver)
    assert [keys(batch) for batch in driver.sends] == [["a"]]
    assert (driver.position(1), driver.machine.counts.held) == (0, 2)
    driver.bill()
    flush(driver)
    driver.bill()
    assert driver.position(1) == 1
    assert driver.ends() == {"consumed": 2, "accepted": 1, "duplicate": 1}


def test_c3_a_corrected_copy_takes_its_turn_when_the_original_is_rejected() -> None:
    """The id alone does not make it a duplicate."""
    driver = Driver(0)
    driver.feed(0, record(0, "a"), record(1, "a", units=2))
    flush(driver)
    driver.answer(Rejected({0: "units"}, "validation failed"))
    driver.feed(0, *records(2, 5))
    driver.bill()
    flush(driver)
    assert [keys(batch) for batch in driver.sends] == [["a"]]
    driver.bill()
    assert driver.ends() == {"consumed": 5, "accepted": 4, "dead_lettered": 1}
    assert driver.position() == 5


def test_c4_each_partition_of_a_batch_is_committable_by_its_own_receipt() -> None:
    """The other comes again after a kill, and only then."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "a"), record(1, "b"))
    driver.feed(1, record(0, "c"))
    driver.answer()
    first = next(write for write in driver.writes if isinstance(write, ReceiptWrite) and write.receipt.partition == 0)
    driver.acknowledge(first)
    assert (driver.position(0), driver.position(1)) == (2, 0)
    commit(driver)
    again = driver.killed(0, 1)
    again.feed(1, record(0, "c"))
    flush(again)
    assert [keys(batch) for batch in again.sends] == [["c"]]


def test_c5_a_second_commit_waits_for_the_answer_to_the_first() -> None:
    """Two at once could be applied in the wrong order."""
    driver = Driver(0)
    for offset in (0, 3, 6):
        driver.feed(0, *records(offset, offset + 3))
        driver.bill()
        driver.pass_time(2.0, renew=False)
    assert driver.commit is not None
    first = driver.commit[0].offset
    driver.accept_commit()
    driver.step()
    assert driver.commit is not None
    assert driver.commit[0].offset > first


def test_c6_a_commit_of_an_old_assignment_promises_nothing_in_the_new_one() -> None:
    """Its answer comes late: the new assignment's position is committed all the same."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.bill()
    driver.pass_time(0.3, renew=False)
    assert driver.commit is not None
    driver.machine.revoked(driver.now)
    driver.machine.commit_failed(lost=True)
    driver.commit = None
    assert not driver.machine.may_send(driver.now)
    driver.assign(0)
    assert driver.machine.may_send(driver.now)
    driver.feed(0, *records(0, 3))
    commit(driver)
    assert driver.kept.commits[0].offset == 3


def test_c7_markers_at_the_end_of_the_log_are_committed() -> None:
    """With nothing held the consumer's own position counts: no lag of 1 for ever."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.machine.advance(0, 4)
    assert driver.position() == 0
    driver.bill()
    commit(driver)
    assert driver.kept.commits[0].offset == 4


def test_c8_thousands_behind_one_event_without_an_end_are_not_billed_again() -> None:
    """A day later, with a window that has forgotten them: receipts above the commit are always read."""
    large: dict[str, Any] = {
        "batch": BatchLimits(1000, 900_000, 1.0),
        "max_held_events": 50_000,
        "max_held_bytes": 67_108_864,
    }
    driver = Driver(0, **large)
    driver.feed(0, record(0, "stuck"))
    flush(driver)
    stuck = driver.sends.pop()
    for first in range(1, THOUSANDS, 1000):
        driver.feed(0, *records(first, first + 1000))
        driver.bill()
    driver.machine.answered(stuck.name, BUSY, driver.now)
    commit(driver)
    assert driver.kept.commits[0].offset == 0
    later = Driver(kept=driver.kept, at=driver.seconds + 2 * 86_400.0, **large)
    later.assign(0, fill=False)
    later.fill(0, tail_offset=len(driver.kept.receipts[0]))
    later.feed(0, record(0, "stuck"), *records(1, THOUSANDS))
    flush(later)
    assert [keys(batch) for batch in later.sends] == [["stuck"]]
    later.bill()
    assert later.ends() == {"consumed": THOUSANDS, "accepted": 1, "duplicate": THOUSANDS - 1}
    assert later.position() == THOUSANDS


def test_c8_the_memory_behind_one_event_without_an_end_is_bounded() -> None:
    """Its partition takes no records any more, the other goes on, and nothing spins."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "stuck"))
    flush(driver)
    driver.sends.clear()
    first = 1
    while 0 not in driver.actions.paused:
        driver.feed(0, *records(first, first + 3))
        driver.bill()
        first += 3
        assert first < 60
    driver.feed(1, *(record(offset, f"other{offset}") for offset in range(3)))
    driver.bill()
    assert driver.position(1) == 3
    assert driver.actions.wake_at > driver.seconds


# Membership


def test_m1_without_a_lease_nothing_is_sent() -> None:
    """Stopped for two minutes while events were held: somebody else owns them now. The same for M2 and M3."""
    driver = Driver(0)
    driver.feed(0, *records(0, 2))
    driver.seconds += 120.0
    driver.step()
    assert driver.sends == []
    assert not driver.machine.may_send(driver.now)
    assert driver.commit is not None


def test_m2_cut_off_from_kafka_sending_ends_with_the_lease() -> None:
    """Commits that nobody answers for do not renew it."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(BUSY)
    driver.pass_time(10.0, renew=False)
    assert driver.machine.may_send(driver.now)
    driver.pass_time(9.0, renew=False)
    assert not driver.machine.may_send(driver.now)


def test_m4_a_record_that_comes_again_waits_for_the_old_requests_end() -> None:
    """Its key is still in flight; accepted, it is a duplicate."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.revoke()
    driver.assign(0)
    driver.feed(0, *records(0, 3))
    flush(driver)
    assert len(driver.sends) == 1
    driver.bill()
    flush(driver)
    driver.bill()
    assert driver.ends() == {"consumed": 6, "duplicate": 3, "released": 3}
    assert driver.position() == 3


def test_m4_after_the_old_requests_failure_it_takes_its_turn() -> None:
    """Two seconds after an unknown outcome, and not before."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.revoke()
    driver.assign(0)
    driver.feed(0, *records(0, 3))
    driver.answer(TIMEOUT)
    driver.pass_time(1.9)
    assert driver.sends == []
    driver.pass_time(0.2)
    assert [keys(batch) for batch in driver.sends] == [["k0", "k1", "k2"]]


def test_m5_what_is_accepted_after_revocation_is_receipted_and_remembered() -> None:
    """It moves no offset and no count of ours, but a copy of it is known."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.revoke()
    driver.bill()
    assert driver.kept.receipts[0][0].keys == ["k0", "k1", "k2"]
    assert "k1" in driver.machine.window
    assert driver.ends() == {"consumed": 3, "released": 3}


def test_m7_the_replacement_of_a_static_member_waits_a_session() -> None:
    """Somebody else was the owner a moment ago and has given nothing back."""
    driver = Driver()
    driver.assign(0, wait_seconds=30.0)
    driver.feed(0, *records(0, 3))
    driver.pass_time(29.9)
    assert driver.sends == []
    assert driver.actions.wake_at > driver.seconds
    driver.pass_time(0.2)
    assert [keys(batch) for batch in driver.sends] == [["k0", "k1", "k2"]]


def test_m7_partitions_are_given_back_once_nothing_is_under_way() -> None:
    """Only then the next owner need not wait."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.machine.hand_over()
    assert not were_given_back([0], driver.machine.last_commits(driver.now))
    driver.bill()
    assert were_given_back([0], driver.machine.last_commits(driver.now))


def test_m7_partitions_are_not_given_back_while_an_earlier_owner_may_be_sending() -> None:
    """Nor by whoever goes on with them: a commit in the middle of the work gives nothing back."""
    driver = Driver()
    driver.assign(0, wait_seconds=30.0)
    driver.machine.hand_over()
    assert not were_given_back([0], driver.machine.last_commits(driver.now))
    driver.pass_time(31.0)
    assert were_given_back([0], driver.machine.last_commits(driver.now))
    driver.assign(0)
    assert not were_given_back([0], driver.machine.last_commits(driver.now))


def test_m6_a_hand_over_waits_until_nobody_can_be_inserting() -> None:
    """Two seconds after an unknown outcome; while a request runs, for its end."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.machine.hand_over()
    assert not driver.machine.is_quiet(driver.now)
    driver.answer(TIMEOUT)
    driver.pass_time(1.9)
    assert not driver.machine.is_quiet(driver.now)
    driver.pass_time(0.2)
    assert driver.machine.is_quiet(driver.now)


def test_m6_a_hand_over_waits_for_receipts() -> None:
    """Else the next owner reads the tail before they are in it."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.machine.hand_over()
    driver.answer()
    assert not driver.machine.is_quiet(driver.now)
    driver.write()
    assert driver.machine.is_quiet(driver.now)


def test_a_dead_letter_that_fails_after_revocation_leaves_its_key_to_the_event_that_came_again() -> None:
    """The letter may stand in its topic all the same: it counts once for its origin, and a receipt overtakes it."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "a"))
    flush(driver)
    driver.answer(Rejected({0: "no"}, "no"))
    driver.feed(1, record(0, "b"))
    flush(driver)
    driver.answer()
    (letter,) = [write for write in driver.writes if isinstance(write, DeadLetterWrite)]
    driver.revoke()
    driver.assign(0, 1)
    driver.feed(0, record(0, "a"))
    flush(driver)
    assert driver.sends == []
    driver.machine.dead_letter_failed(letter.number, driver.now)
    driver.writes.remove(letter)
    flush(driver)
    driver.bill()
    assert driver.kept.dead == []
    assert driver.ends() == {"consumed": 3, "released": 2, "accepted": 1}
