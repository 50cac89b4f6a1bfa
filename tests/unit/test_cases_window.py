"""Interleavings that broke some design, by their numbers: the window, receipts and identity."""

import json

import pytest

from meter.pipeline.event import Origin, decode
from meter.pipeline.receipt import Owner
from tests.builders import REJECTED, Driver, keys, record, records
from tests.records import NOW_SECONDS, FakeRecord


def flush(driver: Driver) -> None:
    """What waits becomes old enough to be sent."""
    driver.pass_time(1.1)


def commit(driver: Driver) -> None:
    """What has ended is committed."""
    driver.pass_time(0.3)


# Window and receipts


def test_w1_after_more_time_than_the_window_covers_nothing_is_skipped_or_billed_again() -> None:
    """Down for two days: what was billed above the commit is recognised all the same, and what came since is billed."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.bill()
    assert driver.kept.commits == {}
    later = Driver(kept=driver.kept, at=driver.seconds + 2 * 86_400.0)
    later.assign(0, fill=False)
    later.fill(0, tail_offset=len(driver.kept.receipts[0]))
    later.feed(0, *records(0, 6))
    flush(later)
    assert [keys(batch) for batch in later.sends] == [["k3", "k4", "k5"]]
    later.bill()
    assert later.ends() == {"consumed": 6, "accepted": 3, "duplicate": 3}
    assert later.position() == 6


@pytest.mark.parametrize(
    ("wrong", "reason"), [({"units": -1}, "invalid:units"), ({"customerRef": "cus_unwanted"}, "rejected")]
)
def test_w2_a_dead_letter_is_no_reason_to_skip_its_id(wrong: dict[str, object], reason: str) -> None:
    """Parked by us or for the provider's no, committed, restarted: the corrected event with the same id is billed."""
    driver = Driver(0)
    driver.feed(0, record(0, "x", **wrong), *records(1, 4))
    flush(driver)
    while driver.sends:
        driver.answer(REJECTED if "x" in keys(driver.sends[0]) else None)
    driver.feed(0, *records(4, 7))
    driver.bill()
    commit(driver)
    assert ([write.reason for write in driver.kept.dead], driver.kept.commits[0].offset) == ([reason], 7)
    again = driver.killed(0)
    again.feed(0, record(7, "x", units=1))
    flush(again)
    assert [keys(batch) for batch in again.sends] == [["x"]]
    again.bill()
    assert again.ends() == {"consumed": 1, "accepted": 1}


@pytest.mark.parametrize("field", ["group", "provider", "environment"])
def test_w3_only_ones_own_receipts_count(field: str) -> None:
    """Another group, another provider, or the test key: none of that was billed here."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.bill()
    commit(driver)
    owner = Owner("meter", "http://provider", "sandbox")._replace(**{field: "another"})
    again = driver.killed(0, owner=owner)
    again.feed(0, record(3, "k1"))
    flush(again)
    assert [keys(batch) for batch in again.sends] == [["k1"]]
    own = driver.killed(0)
    own.feed(0, record(3, "k1"))
    flush(own)
    assert own.sends == []


def test_w4_a_zombies_receipt_that_comes_too_late_costs_a_repeat_and_nothing_more() -> None:
    """The new owner has read the tail already: it sends the same keys again, which the provider knows. Whoever comes
    after it reads both receipts, and nothing stands in for an event that has no end."""
    zombie = Driver(0)
    zombie.feed(0, *records(0, 3))
    zombie.answer()
    owner = zombie.killed(0)
    zombie.write()
    owner.feed(0, *records(0, 3))
    flush(owner)
    assert [keys(batch) for batch in owner.sends] == [["k0", "k1", "k2"]]
    owner.bill()
    commit(owner)
    assert (owner.ends(), owner.position()) == ({"consumed": 3, "accepted": 3}, 3)
    heir = owner.killed(0)
    heir.feed(0, *records(3, 6))
    heir.bill()
    assert heir.ends() == {"consumed": 3, "accepted": 3}


def test_w5_a_receipt_that_kafka_does_not_take_is_split() -> None:
    """A thousand long keys; every event ends once."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer()
    driver.machine.receipt_too_large(driver.writes.pop().number, driver.now)
    driver.step()
    assert len(driver.writes) == 2
    driver.write()
    assert driver.ends() == {"consumed": 3, "accepted": 3}
    assert driver.position() == 3


def test_w7_a_partition_with_nothing_but_duplicates_is_committed() -> None:
    """They get a receipt of their own, so that no offset is without an end."""
    driver = Driver(0, 1)
    driver.feed(0, *records(0, 3))
    driver.bill()
    driver.feed(1, *records(0, 3))
    assert driver.position(1) == 0
    flush(driver)
    driver.bill()
    assert driver.kept.receipts[1][0].ends == "ddd"
    assert driver.position(1) == 3


def test_w8_same_id_and_other_contents_is_a_conflict() -> None:
    """Somebody has to look at it; it is neither billed nor swallowed."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.bill()
    driver.feed(0, record(3, "k1", units=7))
    driver.write()
    assert driver.reasons() == ["conflict"]
    assert driver.position() == 4


def test_w8_a_waiting_copy_with_other_contents_is_a_conflict_too() -> None:
    """Known only when the original has been accepted; the key stays known."""
    driver = Driver(0)
    driver.feed(0, record(0, "a"), record(1, "a", units=7), record(2, "a"))
    flush(driver)
    driver.bill()
    flush(driver)
    driver.bill()
    assert driver.reasons() == ["conflict"]
    assert driver.ends() == {"consumed": 3, "accepted": 1, "duplicate": 1, "dead_lettered": 1}


def test_w8_fields_that_are_filled_in_are_no_conflict() -> None:
    """A retry with another timestamp, or with the default spelt out, says the same."""
    driver = Driver(0)
    driver.feed(0, record(0, "a", timestamp="2025-11-23T20:00:00Z"))
    flush(driver)
    driver.bill()
    driver.feed(0, record(1, "a", timestamp="2025-11-23T20:00:01Z", outcome="success"))
    flush(driver)
    driver.bill()
    assert driver.ends() == {"consumed": 2, "accepted": 1, "duplicate": 1}


def test_w9_an_offset_that_a_receipt_names_ends_without_another() -> None:
    """Redelivered after a kill between receipt and commit: neither sent nor receipted again."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.bill()
    again = driver.killed(0)
    again.feed(0, *records(0, 3))
    assert (again.sends, again.writes) == ([], [])
    assert again.ends() == {"consumed": 3, "duplicate": 3}
    assert again.position() == 3


def test_w9_an_accepted_event_that_has_become_too_old_since_is_no_dead_letter() -> None:
    """Its receipt says that it was billed."""
    driver = Driver(0)
    driver.feed(0, record(0, "a", timestamp="2025-10-24T23:00:00Z"))
    flush(driver)
    driver.bill()
    later = Driver(0, kept=driver.kept, at=driver.seconds + 86_400.0)
    later.feed(0, record(0, "a", timestamp="2025-10-24T23:00:00Z"))
    later.write()
    assert later.ends() == {"consumed": 1, "duplicate": 1}


# Identity


def test_i1_a_topic_that_was_made_anew_has_other_identities() -> None:
    """The same place in another cluster, or at another time, is another event."""
    value = json.dumps({"customerRef": "cus_1"}).encode()
    one = FakeRecord(value, offset=5)
    later = FakeRecord(value, offset=5, timestamp=one.timestamp + 1)
    places = [
        decode(one, Origin("cluster-1", "usage", 0), NOW_SECONDS).key,
        decode(one, Origin("cluster-2", "usage", 0), NOW_SECONDS).key,
        decode(later, Origin("cluster-1", "usage", 0), NOW_SECONDS).key,
    ]
    assert len(set(places)) == 3


def test_i1_receipts_of_an_older_topic_recognise_nothing_of_the_new_one() -> None:
    """The offsets are the same, the keys are not."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.bill()
    again = driver.killed(0)
    again.feed(0, *(record(offset, f"new{offset}") for offset in range(3)))
    assert [keys(batch) for batch in again.sends] == [["new0", "new1", "new2"]]


def test_i2_one_cloud_event_id_from_two_sources_is_two_events() -> None:
    """Ids are unique per source."""
    driver = Driver(0)
    envelope = {"specversion": "1.0", "type": "usage", "id": "1", "subject": "cus_1", "data": {"units": 1}}
    values = [json.dumps({**envelope, "source": source}).encode() for source in ("/a", "/b")]
    driver.feed(0, *(FakeRecord(value, offset=offset) for offset, value in enumerate(values)))
    flush(driver)
    assert len(set(keys(driver.sends[0]))) == 2


def test_i3_one_request_id_on_three_different_events_is_three_events() -> None:
    """It names a request, not an event."""
    driver = Driver(0)
    for offset, fields in enumerate(({"productRef": "a"}, {"productRef": "b"}, {"productRef": "b", "action": "read"})):
        value = json.dumps({"customerRef": "cus_1", "requestId": "r", "units": 1, **fields}).encode()
        driver.feed(0, FakeRecord(value, offset=offset))
    flush(driver)
    assert sum(len(batch.events) for batch in driver.sends) == 3
