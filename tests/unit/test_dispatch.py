"""The way to the provider and back, as seen from the machine's edge."""

import math

from meter.pipeline.buffer import BatchLimits
from meter.pipeline.outcome import NotSent, Refusal, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer
from meter.pipeline.turns import LONE_PROBES, LONE_PROBES_AFTER_FAILURES
from tests.builders import BUSY, REJECTED, TIMEOUT, Driver, Least, accepted, keys, record, records


def sent(driver: Driver) -> list[list[str]]:
    return [keys(batch) for batch in driver.sends]


def test_batches_leave_when_they_are_full_or_old() -> None:
    """Three events at once here; the fourth after its second of waiting."""
    driver = Driver(0)
    driver.feed(0, *records(0, 4))
    assert sent(driver) == [["k0", "k1", "k2"]]
    driver.pass_time(1.0)
    assert sent(driver) == [["k0", "k1", "k2"], ["k3"]]
    assert driver.machine.counts.batches == {"count": 1, "age": 1}


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    """The next one leaves when one has been answered."""
    driver = Driver(0, max_in_flight=2)
    driver.feed(0, *records(0, 9))
    assert len(driver.sends) == 2
    driver.answer()
    assert sent(driver) == [["k3", "k4", "k5"], ["k6", "k7", "k8"]]


def test_a_retry_carries_the_same_keys() -> None:
    """Invariant 4: never mixed with events of another batch, and not before two seconds after an unknown outcome."""
    driver = Driver(0)
    driver.feed(0, *records(0, 2))
    driver.pass_time(1.0)
    driver.answer(TIMEOUT)
    driver.feed(0, *records(2, 3))
    driver.pass_time(1.9)
    assert sent(driver) == [["k2"]]
    driver.bill()
    driver.pass_time(0.2)
    assert sent(driver) == [["k0", "k1"]]


def test_after_a_failure_one_request_at_a_time_probes() -> None:
    """New batches and those to be tried again take turns; the first success opens everything."""
    driver = Driver(0)
    driver.feed(0, *records(0, 9))
    for _ in range(3):
        driver.answer(BUSY)
    driver.pass_time(5.0)
    assert len(driver.sends) == 1
    driver.answer()
    driver.pass_time(5.0)
    assert len(driver.sends) == 2


def test_probes_rotate_over_the_batches_that_wait() -> None:
    """One that no provider will ever answer for must not stand for all of them: in turn each is tried."""
    driver = Driver(0)
    driver.feed(0, *records(0, 9))
    for _ in range(3):
        driver.answer(BUSY)
    probes = []
    for _ in range(9):
        driver.pass_time(40.0)
        assert len(driver.sends) == 1
        probes.append(int(keys(driver.answer(BUSY))[0].removeprefix("k")))
    assert {probe // 3 for probe in probes[:3]} == {0, 1, 2}
    assert all(sum(probe // 3 == batch for probe in probes) >= 2 for batch in range(3))


def test_a_refused_address_or_key_makes_everything_wait() -> None:
    """P2: nothing is dead-lettered, single probes go on, and it resumes by itself."""
    driver = Driver(0)
    driver.feed(0, *records(0, 6))
    driver.answer(Refused(Refusal.WRONG_ADDRESS, "404"))
    driver.answer(Refused(Refusal.WRONG_ADDRESS, "404"))
    assert driver.machine.gate.state() == "paused"
    driver.pass_time(60.0)
    assert len(driver.sends) == 1
    driver.answer()
    driver.bill()
    assert driver.machine.gate.state() == "ok"
    assert driver.ends() == {"consumed": 6, "accepted": 6}


def test_named_culprits_are_set_apart_and_the_rest_goes_on() -> None:
    """One answer is enough; the others are sent again at once."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(Rejected({1: "units"}, "validation failed"))
    assert sent(driver) == [["k0", "k2"]]
    driver.answer()
    driver.write()
    assert driver.reasons() == ["rejected"]
    assert driver.kept.dead[0].detail == "units"
    assert driver.ends() == {"consumed": 3, "accepted": 2, "dead_lettered": 1}


def test_an_unnamed_culprit_is_found_by_halving() -> None:
    """Until it stands alone; every other event is billed."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    while driver.sends:
        driver.answer(REJECTED if "k1" in keys(driver.sends[0]) else None)
    driver.feed(0, *records(3, 6))
    driver.bill()
    assert [write.event.key for write in driver.kept.dead] == ["k1"]
    assert driver.ends() == {"consumed": 6, "accepted": 5, "dead_lettered": 1}


def test_a_body_that_is_too_large_is_halved_and_the_limit_learned() -> None:
    """P7: the next batch is smaller at once, and grows back with what is accepted."""
    driver = Driver(0)
    filler = "x" * 3000
    driver.feed(0, *(record(offset, description=filler) for offset in range(3)))
    driver.answer(TooLarge())
    assert sorted(map(len, sent(driver))) == [1, 2]
    driver.bill()
    driver.feed(0, *(record(offset, description=filler) for offset in range(3, 6)))
    assert sent(driver) == [["k3"], ["k4"], ["k5"]] or len(driver.sends[0].events) < 3
    driver.bill()
    for _ in range(60):
        driver.feed(0, *records(driver.position(), driver.position() + 3))
        driver.bill()
    first = driver.position()
    driver.feed(0, *(record(offset, description=filler) for offset in range(first, first + 3)))
    assert len(driver.sends[0].events) == 3


def test_a_single_event_that_is_too_large_is_dead_lettered() -> None:
    """P7: once another one got through; a proxy that became too narrow for everybody dead-letters nothing."""
    driver = Driver(0)
    driver.feed(0, *records(0, 1))
    driver.pass_time(1.0)
    driver.answer(TooLarge())
    assert driver.writes == []
    driver.feed(0, *records(1, 4))
    driver.bill()
    assert driver.reasons() == ["too_large"]
    assert driver.position() == 4


def test_a_provider_to_whom_everything_is_too_large_dead_letters_nothing() -> None:
    """Invariant 7: a topic is never emptied into the dead letters."""
    driver = Driver(0)
    driver.feed(0, *(record(offset, customerRef=f"cus_{offset}") for offset in range(9)))
    for _ in range(100):
        while driver.sends:
            driver.answer(TooLarge())
        driver.pass_time(1.0)
    assert (driver.kept.dead, driver.machine.gate.state()) == ([], "paused")
    for _ in range(5):
        driver.pass_time(11.0)
        driver.bill()
    assert driver.ends() == {"consumed": 9, "accepted": 9}


def test_under_full_load_refused_events_are_tried_again() -> None:
    """P3: there is always a full batch of new events; an unknown customer has its turn all the same."""
    driver = Driver(0, max_in_flight=1, max_held_events=10_000, batch=BatchLimits(3, 100_000, 1.0))
    driver.feed(0, record(0, "early"))
    driver.pass_time(1.0)
    driver.answer(UnknownCustomer("Customer not found"))
    driver.feed(0, *records(1, 301))
    tried_again = False
    for _ in range(60):
        driver.seconds += 0.1
        tried_again |= keys(driver.answer()) == ["early"]
        driver.write()
    assert tried_again


def test_an_unknown_customer_alone_is_tried_again() -> None:
    """P3: usage may overtake the customer's creation."""
    driver = Driver(0)
    driver.feed(0, *records(0, 1))
    driver.pass_time(1.0)
    driver.answer(UnknownCustomer("Customer not found"))
    driver.pass_time(1.1)
    assert sent(driver) == [["k0"]]
    driver.bill()
    assert driver.ends() == {"consumed": 1, "accepted": 1}


def test_what_was_not_sent_is_sent_again_without_waiting() -> None:
    """The lease had ended before the body was written: the provider has nothing of it."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(NotSent())
    assert sent(driver) == [["k0", "k1", "k2"]]
    assert [event.attempts for event in driver.sends[0].events] == [1, 1, 1]


def test_units_of_a_request_that_was_not_sent_are_not_counted_as_sent() -> None:
    """A snapshot of limits would wait for the provider to have seen them."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    pin = driver.machine.usage.pin("cus_1")
    not_sent = driver.sends.pop()
    driver.machine.commits.lost()
    driver.machine.answered(not_sent.name, NotSent(), driver.now)
    driver.revoke()
    assert driver.machine.usage.products_pending(pin) == {}


def test_retry_after_is_obeyed_up_to_five_minutes() -> None:
    """P8: a day is not waited."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(TryAgain("429", outcome_unknown=False, retry_after_seconds=86_400.0))
    driver.pass_time(299.0)
    assert driver.sends == []
    driver.pass_time(2.0)
    assert sent(driver) == [["k0", "k1", "k2"]]


def test_events_that_expire_while_they_wait_are_dead_lettered_alone() -> None:
    """P10: the rest of their batch is billed."""
    driver = Driver(0)
    old = "2025-10-24T22:00:00Z"
    driver.feed(0, record(0), record(1, timestamp=old), record(2))
    driver.answer(BUSY)
    driver.seconds += 3 * 3600.0
    driver.step()
    driver.accept_commit()
    driver.pass_time(1.0)
    assert sent(driver) == [["k0", "k2"]]
    driver.bill()
    assert driver.reasons() == ["expired"]
    assert driver.ends() == {"consumed": 3, "accepted": 2, "dead_lettered": 1}


def test_draining_sends_at_once_and_takes_no_more_records() -> None:
    """SIGTERM: what is held is flushed, whatever its age."""
    driver = Driver(0)
    driver.feed(0, *records(0, 2))
    driver.machine.drain()
    driver.step()
    assert sent(driver) == [["k0", "k1"]]
    assert driver.actions.paused == {0}
    assert driver.machine.counts.batches == {"drain": 1}


def test_nothing_is_sent_while_partitions_are_handed_over() -> None:
    """What is under way may end."""
    driver = Driver(0)
    driver.feed(0, *records(0, 2))
    driver.machine.hand_over()
    driver.pass_time(5.0)
    assert driver.sends == []
    assert driver.machine.is_quiet(driver.now)


def test_a_mass_refusal_probes_single_events() -> None:
    """P4: of different customers, one at a time, and nothing is dead-lettered meanwhile."""
    driver = Driver(0)
    driver.feed(0, *(record(offset, customerRef=f"cus_{offset}") for offset in range(9)))
    while len(driver.sends) > 0 and driver.machine.gate.paused is None:
        driver.answer(Rejected({0: "x", 1: "x", 2: "x"}, "schema"))
    assert driver.machine.gate.paused == "mass_refusal"
    while driver.sends:
        driver.answer(REJECTED)
    driver.pass_time(30.0)
    assert len(driver.sends) == 1
    assert len(driver.sends[0].events) == 1
    assert driver.kept.dead == []


def test_while_probes_wait_the_machine_sleeps() -> None:
    """It never asks to be woken in the past, which would be a busy loop: a paused gate may open before a batch may."""
    driver = Driver(0, chance=Least())
    driver.feed(0, *(record(offset, customerRef=f"cus_{offset}") for offset in range(3)))
    driver.answer(Rejected(dict.fromkeys(range(3), "schema"), "validation failed"))
    driver.revoke()
    driver.assign(0)
    driver.feed(0, record(0))
    driver.pass_time(0.5)
    assert (driver.machine.gate.state(), sent(driver)) == ("paused", [["k0"]])
    driver.answer(TIMEOUT)
    driver.pass_time(0.5)
    assert driver.machine.gate.opens_at < driver.seconds < driver.actions.wake_at


def test_an_idle_machine_sleeps() -> None:
    """Nothing held, nothing to commit, nothing to do."""
    driver = Driver(0)
    assert driver.actions.wake_at == math.inf
    driver.feed(0, *records(0, 1))
    driver.pass_time(1.0)
    driver.bill()
    driver.pass_time(1.0)
    assert driver.actions.wake_at == math.inf


def test_a_receipt_of_a_repeat_says_so() -> None:
    """The provider's reasons for not debiting are all kept; those that are not normal are counted."""
    driver = Driver(0)
    driver.feed(0, *records(0, 3))
    driver.answer(accepted(driver.sends[0], {0: "duplicate", 2: "customer_not_found"}))
    driver.write()
    assert driver.kept.receipts[0][0].undebited == {"0": "duplicate", "2": "customer_not_found"}
    assert driver.machine.counts.not_debited == {"customer_not_found": 1}


def answer_all(driver: Driver, poison: str) -> int:
    """Answers everything under way, with 503 where this key is in it; answers how many requests had it."""
    hit = [poison in keys(batch) for batch in driver.sends]
    for is_hit in hit:
        driver.answer(BUSY if is_hit else None)
    driver.write()
    return sum(hit)


def test_a_batch_that_fails_while_others_succeed_is_split_until_the_event_to_blame_stands_alone() -> None:
    """P1: the others are billed; it is named, goes on being tried, and nothing waits for it."""
    driver = Driver(0, batch=BatchLimits(8, 100_000, 0.1))
    driver.feed(0, *records(0, 8))
    requests = 0
    for number in range(60):
        driver.feed(0, record(8 + number, f"later{number}"))
        driver.pass_time(20.0)
        requests += answer_all(driver, "k5")
    assert [event.key for event in driver.machine.poison()] == ["k5"]
    assert driver.machine.counts.accepted == 7 + 60
    assert driver.machine.counts.held == 1
    assert driver.machine.gate.state() == "ok"
    assert requests >= 5 + 3


def test_in_an_outage_only_a_few_single_events_leave_their_batches() -> None:
    """They probe, since each batch may have an event in it on which the provider fails; the rest stays as it is."""
    driver = Driver(0, batch=BatchLimits(100, 100_000, 0.1), max_held_events=100)
    driver.feed(0, *records(0, 100))
    sizes = []
    for _ in range(5 + LONE_PROBES * LONE_PROBES):
        driver.seconds += 40.0
        driver.pass_time(0.1)
        (batch,) = driver.sends
        sizes.append(len(batch.events))
        driver.answer(BUSY)
    assert sizes[:LONE_PROBES_AFTER_FAILURES] == [100] * LONE_PROBES_AFTER_FAILURES
    assert set(sizes[LONE_PROBES_AFTER_FAILURES:]) == {1, 100 - LONE_PROBES}
    assert driver.machine.poison() == []
    assert driver.machine.gate.state() == "retrying"


def billed_beside_failing_ones(driver: Driver, seconds: int) -> int:
    """How many events were accepted in that time, while the provider fails on one customer and refuses another."""
    before = driver.machine.counts.accepted
    for _ in range(seconds):
        for _ in range(len(driver.sends)):
            customers = {event.customer for event in driver.sends[0].events}
            driver.answer(BUSY if "broken" in customers else REJECTED if "refused" in customers else None)
        driver.write()
        driver.pass_time(1.0)
    return driver.machine.counts.accepted - before


def test_a_customer_on_whose_events_the_provider_fails_does_not_stand_before_all_others() -> None:
    """At night only he sends, one event after the other; whoever comes in the morning is billed."""
    driver = Driver(0, 1, batch=BatchLimits(100, 100_000, 1.0), max_held_events=1000)
    for number in range(40):
        driver.feed(0, record(number, f"broken{number}", customerRef="broken"))
        billed_beside_failing_ones(driver, 5)
    assert driver.machine.gate.state() == "retrying"
    driver.feed(1, *records(0, 20))
    assert billed_beside_failing_ones(driver, 600) == 20


def test_events_that_always_fail_do_not_hide_that_the_provider_is_well_again() -> None:
    """While most events are refused, those that fail alone are asked no sooner than others."""
    driver = Driver(0, 1, batch=BatchLimits(1, 100_000, 1.0), max_held_events=1000)
    driver.feed(0, *(record(number, f"broken{number}", customerRef="broken") for number in range(5)))
    billed_beside_failing_ones(driver, 60)
    driver.feed(0, *(record(5 + number, f"refused{number}", customerRef="refused") for number in range(50)))
    driver.feed(0, record(60, "other", customerRef="refused too"))
    for _ in range(60):
        while driver.sends:
            driver.answer(BUSY if driver.sends[0].events[0].customer == "broken" else REJECTED)
        driver.pass_time(1.0)
    assert driver.machine.gate.paused == "mass_refusal"
    driver.feed(1, *records(0, 20))
    assert billed_beside_failing_ones(driver, 600) >= 20


def test_an_outage_after_a_success_blames_no_event() -> None:
    """The provider was well after the batch's first failure, but not since: nothing is split, nothing named."""
    driver = Driver(0, batch=BatchLimits(50, 100_000, 1.0), max_held_events=1000)
    driver.feed(0, *records(0, 50))
    driver.answer(BUSY)
    driver.feed(0, *records(50, 100))
    driver.pass_time(1.0)
    while not driver.machine.counts.accepted:
        driver.answer(None if keys(driver.sends[0])[0] == "k50" else BUSY)
        driver.write()
        driver.pass_time(1.0)
    requests = 0
    for _ in range(600):
        while driver.sends:
            driver.answer(BUSY)
            requests += 1
        driver.pass_time(1.0)
    assert driver.machine.poison() == []
    assert requests < 100


def test_events_on_which_every_batch_fails_do_not_stop_the_others() -> None:
    """One customer's data are broken at the provider, and each batch has an event of his: single ones get through."""
    driver = Driver(0, batch=BatchLimits(20, 100_000, 0.1), max_held_events=400)
    driver.feed(0, *(record(at, customerRef="broken" if at % 10 == 3 else "cus_1") for at in range(200)))
    for _ in range(1000):
        for _ in range(len(driver.sends)):
            is_broken = any(one.customer == "broken" for one in driver.sends[0].events)
            driver.answer(TIMEOUT if is_broken else None)
        driver.write()
        driver.pass_time(5.0)
        if driver.machine.counts.accepted == 180:
            break
    assert driver.ends() == {"consumed": 200, "accepted": 180, "held": 20}
    for _ in range(100):
        while driver.sends:
            driver.answer(TIMEOUT)
        driver.pass_time(10.0)
    assert {event.customer for event in driver.machine.poison()} <= {"broken"}
