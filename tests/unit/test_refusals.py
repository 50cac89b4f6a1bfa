"""Whether a refusal is the event's own fault."""

import math

from meter.pipeline.event import UsageEvent
from meter.pipeline.refusals import DOUBTFUL_EVENTS, PROBE_SECONDS, RECENT_EVENTS, Refusals
from tests.builders import batch, event


def refusals(wait_seconds: float = 300.0) -> Refusals:
    return Refusals(wait_seconds)


def reject(refused: Refusals, one: UsageEvent, at: float) -> None:
    refused.add(batch(one), "rejected", "validation failed", at)


def dead_lettered(refused: Refusals) -> list[str]:
    return [refusal.event.key for refusal in refused.judge().final]


def test_a_refused_event_is_dead_lettered_only_after_a_later_request_was_accepted() -> None:
    """A request that started before the refusal says nothing about the provider since."""
    refused = refusals()
    reject(refused, event("bad"), at=10.0)
    assert dead_lettered(refused) == []
    refused.accepted([event("good")], started_at=9.0)
    assert dead_lettered(refused) == []
    refused.accepted([event("better")], started_at=11.0)
    assert dead_lettered(refused) == ["bad"]
    assert len(refused) == 0


def test_most_events_refused_of_two_customers_is_the_providers_fault() -> None:
    """Of one customer alone it may be that customer's."""
    refused = refusals()
    for number in range(5):
        reject(refused, event(f"a{number}", customerRef="cus_a"), at=1.0)
    assert not refused.is_mass()
    reject(refused, event("b", customerRef="cus_b"), at=1.0)
    assert refused.is_mass()
    refused.accepted([event(f"ok{number}") for number in range(6)], started_at=1.0)
    assert not refused.is_mass()


def test_one_event_refused_again_and_again_counts_once() -> None:
    """The rule is about distinct events; memory is bounded by the number it looks at."""
    refused = refusals()
    refused.accepted([event(f"ok{number}") for number in range(1000)], started_at=1.0)
    for at in range(1000):
        reject(refused, event(f"k{at % 2}", customerRef=f"cus_{at % 2}"), at=float(at))
    assert not refused.is_mass()
    for number in range(RECENT_EVENTS):
        reject(refused, event(f"bad{number}", customerRef=f"cus_{number}"), at=2.0)
    assert refused.is_mass()


def test_an_unknown_customer_is_tried_again_and_dead_lettered_after_its_wait() -> None:
    """P3: more and more rarely, once more at the end of the wait, and then with an acceptance as evidence."""
    refused, one, at, tries = refusals(), batch(event("early")), 0.0, 0
    refused.accepted([event("good")], started_at=1.0)
    while not dead_lettered(refused) and tries < 100:
        refused.add(one, "unknown_customer", "not found", at)
        tries += 1
        if (due := refused.next_due()) < math.inf:
            assert due - at <= 30.0
            at = due
            assert refused.take_due(at) is one or dead_lettered(refused) == ["early"]
            if at >= 300.0:
                break
    refused.add(one, "unknown_customer", "not found", at)
    assert at == 300.0
    assert 10 < tries < 40
    assert dead_lettered(refused) == ["early"]


def test_an_unknown_customer_is_tried_on_until_there_is_evidence() -> None:
    """On a quiet topic nobody else was accepted: it may still be created, so nothing is given up."""
    refused, one = refusals(wait_seconds=10.0), batch(event("early"))
    for at in (0.0, 5.0, 10.0, 40.0):
        refused.add(one, "unknown_customer", "not found", at)
        assert dead_lettered(refused) == []
        assert refused.take_due(refused.next_due()) is one


def test_while_nothing_is_accepted_or_refused_one_event_asks_now_and_then() -> None:
    """Nothing else may be left that could be accepted, when everything that is held was refused."""
    refused = refusals()
    for number in range(3):
        reject(refused, event(f"bad{number}"), at=float(number))
    assert refused.take_due(2.0 + PROBE_SECONDS - 0.1) is None
    asking = refused.take_due(2.0 + PROBE_SECONDS)
    assert asking is not None
    assert [one.key for one in asking.events] == ["bad0"]
    assert refused.take_due(2.0 + PROBE_SECONDS) is None
    assert refused.next_due() == 2.0 + 2 * PROBE_SECONDS


def test_many_are_not_dead_lettered_at_once_without_a_second_try() -> None:
    """That one event was accepted may mean that the provider was mended; what is refused again has itself to blame."""
    refused = refusals()
    for number in range(DOUBTFUL_EVENTS):
        reject(refused, event(f"k{number}"), at=1.0)
    refused.accepted([event("new")], started_at=2.0)
    judgement = refused.judge()
    assert (judgement.final, len(judgement.again), len(refused)) == ([], DOUBTFUL_EVENTS, 0)
    for again in judgement.again:
        refused.add(again, "rejected", "validation failed", 3.0)
    refused.accepted([event("newer")], started_at=4.0)
    assert len(dead_lettered(refused)) == DOUBTFUL_EVENTS


def test_when_a_refused_event_is_accepted_the_others_are_tried_again() -> None:
    """Nobody changed the event, so it was the provider that had refused it wrongly."""
    refused = refusals()
    reject(refused, event("k1"), at=1.0)
    refused.accepted([event("k0")], started_at=2.0)
    judgement = refused.judge(once_refused=True)
    assert [one.events[0].key for one in judgement.again] == ["k1"]
    assert judgement.final == []


def test_after_a_mass_refusal_everything_is_tried_again() -> None:
    """P4: their refusals are forgotten, so that none of them is dead-lettered for what was the provider's fault."""
    refused = refusals()
    for number in range(4):
        reject(refused, event(f"k{number}", customerRef=f"cus_{number}"), at=1.0)
    refused.accepted([event("probe")], started_at=2.0)
    batches = refused.take_all()
    assert [one.events[0].key for one in batches] == ["k0", "k1", "k2", "k3"]
    assert all(one.first_refused_at is None and not one.had_second_try for one in batches)
    assert not refused.is_mass()
    assert dead_lettered(refused) == []


def test_while_the_provider_is_in_doubt_nothing_is_judged() -> None:
    """An acceptance from before the doubt says nothing; the one that ends it gives all of them another try."""
    refused = refusals()
    reject(refused, event("k0"), at=1.0)
    refused.in_doubt = True
    refused.accepted([event("old")], started_at=2.0)
    assert dead_lettered(refused) == []
    refused.take_all()
    assert not refused.in_doubt


def test_events_of_an_assignment_that_is_over_are_given_back() -> None:
    """Nothing of them stays behind, not even when they were first refused."""
    refused = refusals()
    reject(refused, event("old", epoch=1), at=1.0)
    reject(refused, event("new", epoch=2), at=1.0)
    assert [one.key for one in refused.discard(frozenset({1}))] == ["old"]
    assert len(refused) == 1
