"""What an operator parks: what is held leaves, what may still be inserted leaves later, and others are unharmed."""

from meter.pipeline.outcome import Rejected, UnknownCustomer
from meter.pipeline.parking import PARKED, Selection
from meter.pipeline.settlement import DeadLetterWrite
from tests.builders import BUSY, TIMEOUT, Driver, keys, record, records


def origins(*places: tuple[int, int]) -> Selection:
    return Selection(origins=frozenset(places))


def test_an_event_that_waits_is_parked_at_once_and_its_partition_goes_on() -> None:
    """The one that never ends is out of the way; what is behind it is committed."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(BUSY)
    assert driver.machine.park(origins((0, 1)), driver.now) == (1, 0)
    driver.pass_time(40.0)
    driver.bill()
    assert driver.reasons() == [PARKED]
    assert driver.ends() == {"consumed": 3, "accepted": 2, "dead_lettered": 1}
    assert driver.position() == 3


def test_never_while_its_key_is_in_flight() -> None:
    """It leaves when the answer has come, if that is not its acceptance."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    assert driver.machine.park(origins((0, 0), (0, 1), (0, 2)), driver.now) == (0, 3)
    driver.step()
    assert driver.writes == []
    driver.answer(BUSY)
    driver.pass_time(1.0)
    driver.write()
    assert driver.reasons() == [PARKED] * 3


def test_whoever_waits_to_leave_is_looked_for_in_time() -> None:
    """The machine asks to be woken for it."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(TIMEOUT)
    driver.machine.park(origins((0, 0), (0, 1), (0, 2)), driver.now)
    assert driver.machine.next(driver.now).wake_at == driver.now.steady_seconds + 0.5
    driver.pass_time(3.0)
    assert len(driver.writes) == 3


def test_what_was_accepted_meanwhile_is_accepted() -> None:
    """The wish comes too late, and is forgotten."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.machine.park(origins((0, 0)), driver.now)
    driver.bill()
    driver.pass_time(2.0)
    assert driver.ends() == {"consumed": 3, "accepted": 3}


def test_never_while_an_earlier_try_may_still_be_inserted() -> None:
    """Two seconds after an unknown outcome, and not sent again; L4: the letter says that nobody knows."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(TIMEOUT)
    assert driver.machine.park(Selection(customers=frozenset({"cus_1"})), driver.now) == (0, 3)
    driver.pass_time(1.9)
    assert driver.writes == []
    driver.pass_time(40.0)
    assert driver.sends == []
    driver.write()
    assert driver.reasons() == [PARKED] * 3
    assert all(getattr(write.event, "unknown", False) for write in driver.kept.dead)


def test_p5_all_that_was_refused_is_parked_and_the_good_ones_are_billed() -> None:
    """A producer of nothing but bad events: billing is paused, the operator empties what was refused."""
    driver = Driver(0, max_in_flight=1)
    bad = [record(offset, customerRef=f"cus_bad{offset % 2}") for offset in range(6)]
    driver.feed(0, *bad)
    for _ in range(200):
        driver.pass_time(1.0)
        while driver.sends:
            driver.answer(Rejected({}, "no such field"))
    assert driver.machine.gate.state() == "paused"
    assert driver.kept.dead == []
    parked, waiting = driver.machine.park(Selection(all_refused=True), driver.now)
    assert (parked, waiting) == (6, 0)
    driver.step()
    driver.write()
    assert set(driver.reasons()) == {"rejected"}
    driver.feed(0, record(6, "good"))
    driver.pass_time(60.0)
    driver.bill()
    assert driver.ends() == {"consumed": 7, "accepted": 1, "dead_lettered": 6}
    assert driver.machine.gate.state() == "ok"


def test_what_was_refused_and_is_tried_again_is_still_refused() -> None:
    """After a mass refusal one acceptance lets everything be tried again; `all_refused` finds it then as well."""
    driver = Driver(0, max_in_flight=1)
    driver.feed(0, *(record(offset, customerRef=f"cus_bad{offset}") for offset in range(3)))
    driver.answer(Rejected({0: "no", 1: "no", 2: "no"}, "no such field"))
    assert driver.machine.gate.paused == "mass_refusal"
    driver.feed(0, record(3, "good"))
    while not driver.machine.counts.accepted:
        driver.pass_time(1.0)
        while driver.sends:
            driver.answer(None if keys(driver.sends[0]) == ["good"] else Rejected({0: "no"}, "no such field"))
        driver.write()
        assert driver.seconds < 200.0
    parked, waiting = driver.machine.park(Selection(all_refused=True), driver.now)
    assert parked + waiting == 3
    while driver.sends:
        driver.answer(Rejected({0: "no"}, "no such field"))
    driver.pass_time(1.0)
    driver.write()
    assert driver.reasons() == ["rejected"] * 3


def test_p5_good_events_of_other_partitions_go_on_while_one_producer_sends_nothing_but_bad_ones() -> None:
    """Each partition has its own share, and what is accepted shows whose fault the refusals are: they are parked."""
    driver = Driver(0, 1)
    bad = good = 0
    until = driver.seconds + 120.0
    while driver.machine.counts.accepted < 200:
        assert driver.seconds < until, driver.ends()
        if 0 not in driver.actions.paused:
            driver.feed(0, *(record(bad + n, f"bad{bad + n}", customerRef=f"cus_bad{n}") for n in range(5)))
            bad += 5
        if 1 not in driver.actions.paused:
            driver.feed(1, record(good, f"good{good}"), record(good + 1, f"good{good + 1}"))
            good += 2
        while driver.sends:
            named = {at: "no" for at, key in enumerate(keys(driver.sends[0])) if key.startswith("bad")}
            driver.answer(Rejected(named, "no such field") if named else None)
            driver.write()
        driver.pass_time(0.2)
    assert driver.position(1) >= 198
    assert len(driver.reasons()) > 200
    assert set(driver.reasons()) == {"rejected"}


def test_p5_a_probe_is_unlike_what_was_refused() -> None:
    """Thousands of one producer wait in front of it: the only event of somebody else is the next that is asked."""
    driver = Driver(0, 1, max_in_flight=1, max_held_events=200)
    driver.feed(0, *(record(n, f"bad{n}", customerRef=f"cus_bad{n % 30}") for n in range(60)))
    driver.feed(1, record(0, "good"))
    driver.answer(Rejected({0: "no", 1: "no", 2: "no"}, "no such field"))
    asked = []
    while "good" not in asked:
        driver.pass_time(11.0)
        asked += keys(driver.sends[0])
        driver.answer(Rejected({0: "no"}, "no such field") if asked[-1] != "good" else None)
        assert len(asked) <= 2, asked
    assert driver.machine.gate.state() == "ok"


def test_filters_narrow_each_other() -> None:
    """One reason of one customer; nothing given means nothing."""
    driver = Driver(0)
    for offset, customer in enumerate(("cus_1", "cus_2")):
        driver.feed(0, record(offset, customerRef=customer))
        driver.pass_time(1.1)
        while driver.sends:
            driver.answer(UnknownCustomer("Customer not found"))
    assert driver.machine.park(Selection(), driver.now) == (0, 0)
    assert driver.machine.park(Selection(all_refused=True, reasons=frozenset({"rejected"})), driver.now) == (0, 0)
    wanted = Selection(reasons=frozenset({"unknown_customer"}), customers=frozenset({"cus_2"}))
    assert driver.machine.park(wanted, driver.now) == (1, 0)
    driver.step()
    driver.write()
    assert [write.event.record.offset for write in driver.kept.dead] == [1]


def test_a_wish_counts_only_what_it_names() -> None:
    """An earlier one that comes true at the same moment has been answered already."""
    driver = Driver(0)
    driver.feed(0, record(0))
    driver.pass_time(1.1)
    assert driver.machine.park(origins((0, 0)), driver.now) == (0, 1)
    driver.machine.answered(driver.sends.pop().name, BUSY, driver.now)
    driver.feed(0, record(1))
    assert driver.machine.park(origins((0, 1)), driver.now) == (1, 0)
    driver.step()
    driver.write()
    assert len(driver.kept.dead) == 2


def test_a_copy_that_waits_is_parked_by_its_own_origin() -> None:
    """It blocks its partition while the original never ends; the original's key stays its own."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "k"))
    driver.feed(1, record(0, "k"), record(1, "k"))
    driver.pass_time(1.1)
    driver.answer(BUSY)
    assert driver.machine.park(origins((1, 0)), driver.now) == (1, 0)
    driver.step()
    driver.write()
    assert driver.position(1) == 1
    driver.pass_time(60.0)
    driver.bill()
    driver.pass_time(1.1)
    driver.bill()
    assert driver.reasons() == [PARKED]
    assert driver.ends() == {"consumed": 3, "accepted": 1, "duplicate": 1, "dead_lettered": 1}


def test_a_copy_whose_key_is_under_way_waits_for_the_answer() -> None:
    """In flight, and two seconds after an unknown outcome: until then it may still become a duplicate."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "k"))
    driver.feed(1, record(0, "k"), record(1, "k"))
    for _ in range(4):  # then the next try is further away than two seconds
        while not driver.sends:
            driver.pass_time(1.0)
        driver.answer(TIMEOUT)
    while not driver.sends:
        driver.pass_time(1.0)
    assert driver.machine.park(origins((1, 0), (1, 1)), driver.now) == (0, 2)
    driver.answer(TIMEOUT)
    driver.pass_time(1.9)
    assert driver.writes == []
    driver.pass_time(0.7)
    assert [write.event.record.offset for write in driver.writes if isinstance(write, DeadLetterWrite)] == [0, 1]


def test_who_has_ended_otherwise_is_not_looked_for_any_more() -> None:
    """Accepted, a duplicate, or parked because of its refusal: nobody is woken for it twice a second."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "bad"))
    driver.pass_time(1.1)
    driver.feed(0, record(1, "good"))
    driver.feed(1, record(0, "good"))
    driver.pass_time(1.1)
    assert driver.machine.park(origins((0, 0), (0, 1), (1, 0)), driver.now) == (0, 3)
    driver.answer(Rejected({}, "no such field"))
    driver.answer()
    driver.write()
    driver.pass_time(2.5)
    driver.bill()
    assert driver.reasons() == ["rejected"]
    assert driver.ends() == {"consumed": 3, "accepted": 1, "duplicate": 1, "dead_lettered": 1}
    driver.pass_time(2.0)
    assert driver.actions.wake_at == float("inf")


def test_a_copy_that_waited_takes_its_turn() -> None:
    """The original is parked, the key is free."""
    driver = Driver(0, 1)
    driver.feed(0, record(0, "k"))
    driver.feed(1, record(0, "k"))
    assert driver.machine.park(origins((0, 0)), driver.now) == (1, 0)
    driver.step()
    driver.write()
    driver.pass_time(1.1)
    assert keys(driver.sends[0]) == ["k"]
    driver.bill()
    assert driver.ends() == {"consumed": 2, "accepted": 1, "dead_lettered": 1}


def test_a_revoked_partition_takes_its_wishes_along() -> None:
    """Whoever has it next is asked anew; delivered again here, the event is billed."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(TIMEOUT)
    driver.machine.park(origins((0, 0)), driver.now)
    driver.revoke()
    driver.pass_time(5.0)
    driver.assign(0)
    driver.feed(0, *records(0, 3))
    driver.bill()
    assert driver.ends()["accepted"] == 3
    assert driver.kept.dead == []
