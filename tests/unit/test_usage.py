"""Pending usage: what the provider may not have counted yet."""

from meter.pipeline.usage import PendingUsage
from tests.builders import Counted as Event


def test_held_units_are_pending() -> None:
    """What waits in this process is usage that no snapshot can know."""
    usage = PendingUsage()
    pin = usage.pin("cus_1")
    usage.hold([Event(units=3), Event(units=4), Event(product="prd_2", units=9)])
    assert usage.pending(pin, "prd_1") == 7
    assert usage.products_pending(pin) == {"prd_1": 7, "prd_2": 9}


def test_an_answer_cut_after_the_insert_keeps_units_pending_until_a_later_snapshot() -> None:
    """T1: the snapshot's request started before the insert, so the retried batch stays pending."""
    usage, batch = PendingUsage(), [Event() for _ in range(10)]
    before = usage.pin("cus_1")
    usage.hold(batch)
    usage.leave(batch, sent=True)
    later = usage.pin("cus_1")
    assert usage.pending(before, "prd_1") == 10
    assert usage.pending(later, "prd_1") == 0


def test_no_counter_falls_below_its_start_while_a_request_runs() -> None:
    """T2: another snapshot's end does not reset counters that a running request still measures against."""
    usage, first, second = PendingUsage(), [Event(units=5)], [Event(units=2)]
    cached = usage.pin("cus_1")
    usage.hold(first)
    usage.leave(first, sent=True)
    running = usage.pin("cus_1")
    usage.unpin(cached)
    usage.hold(second)
    usage.leave(second, sent=True)
    assert usage.pending(running, "prd_1") == 2


def test_units_that_were_never_sent_are_forgotten_when_they_leave() -> None:
    """Released or dead-lettered without ever having been sent: the provider cannot have them."""
    usage, events = PendingUsage(), [Event(units=5)]
    pin = usage.pin("cus_1")
    usage.hold(events)
    usage.leave(events, sent=False)
    assert usage.pending(pin, "prd_1") == 0


def test_units_that_left_after_an_unknown_outcome_count_as_sent() -> None:
    """T4: released or dead-lettered, the provider may have inserted them all the same."""
    usage, events = PendingUsage(), [Event(units=5)]
    pin = usage.pin("cus_1")
    usage.hold(events)
    usage.leave(events, sent=True)
    assert usage.pending(pin, "prd_1") == 5


def test_only_events_that_count_are_counted() -> None:
    """`fail` and `paywall` consume no allowance."""
    usage, failed = PendingUsage(), [Event(counts=False, units=7)]
    usage.hold(failed)
    assert usage.held("cus_1", "prd_1") == 0
    usage.leave(failed, sent=True)
    assert len(usage) == 0


def test_without_a_pin_nothing_is_remembered_of_what_has_left() -> None:
    """Memory is bounded by what is held and what is pinned; events of 0 units leave nothing behind either."""
    usage, events = PendingUsage(max_resting=0), [Event(customer=f"cus_{n}", units=n % 3) for n in range(30)]
    usage.hold(events)
    usage.leave(events, sent=True)
    assert (len(usage), usage.counters_total()) == (0, 0)


def test_what_rests_is_bounded_and_goes_oldest_first() -> None:
    """Most counters are needed again at once; those that are not make way for others, but never while in use."""
    usage = PendingUsage(max_resting=2)
    first, *others = [Event(customer=f"cus_{n}") for n in range(5)]
    usage.hold([first])
    usage.leave([first], sent=True)
    usage.hold([first, *others])
    usage.leave(others, sent=True)
    assert usage.held("cus_0", "prd_1") == 1
    assert (len(usage), usage.counters_total()) == (1, 3)


def test_a_customer_asked_for_all_the_time_keeps_no_products_of_the_past() -> None:
    """Pins that overlap for ever do not keep counters that all of them have seen at rest."""
    usage = PendingUsage(max_resting=0)
    pin = usage.pin("cus_1")
    for n in range(100):
        events = [Event(product=f"prd_{n}")]
        usage.hold(events)
        usage.leave(events, sent=True)
        pin, old = usage.pin("cus_1"), pin
        usage.unpin(old)
    assert len(usage.pin("cus_1").sent_at_start) <= 1


def test_an_event_leaves_once() -> None:
    """A negative counter would promise usage that does not exist."""
    usage, events = PendingUsage(), [Event(units=5)]
    usage.hold([*events, Event(units=1)])
    usage.leave(events, sent=True)
    usage.leave(events, sent=True)
    assert usage.held("cus_1", "prd_1") == 1
