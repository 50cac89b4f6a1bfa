"""How limits questions reach the provider: few at a time, in time or not at all, and not while it wants peace."""

import asyncio

import pytest

from meter.billing.limits_outcome import LimitsUnavailable
from meter.limits import Answer, Question
from meter.limits.flights import REQUESTS_AT_ONCE
from meter.settings import LimitsSettings
from tests.limits_setup import ASK, Setup, nothing_is_kept, units
from tests.waiting import eventually

MANY = 5 * REQUESTS_AT_ONCE


def asked_by_many(setup: Setup, *, alone: bool = False) -> list[asyncio.Task[Answer]]:
    """As many customers as there are places for requests, a few times over."""
    questions = [Question(f"cus_{n}", "prd_1", checkout_session=alone) for n in range(MANY)]
    return [asyncio.create_task(setup.cache.answer(question)) for question in questions]


@pytest.mark.parametrize("alone", [False, True])
async def test_only_so_many_requests_are_under_way(alone: bool) -> None:
    """Connections to the provider are bounded."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    setup.provider.open.clear()
    asking = asked_by_many(setup, alone=alone)
    await eventually(lambda: len(setup.provider.asked) >= REQUESTS_AT_ONCE, 30, "requests are under way")
    assert len(setup.provider.asked) == REQUESTS_AT_ONCE
    setup.provider.open.set()
    assert {answer.source for answer in await asyncio.gather(*asking)} == {"fresh"}


@pytest.mark.parametrize("alone", [False, True])
async def test_everybody_is_answered_by_the_deadline(alone: bool) -> None:
    """The wait for his turn counts: behind a provider that hangs nobody waits for one timeout after the other."""
    setup = Setup(deadline_seconds=0.05)
    setup.provider.open.clear()
    answers = await asyncio.wait_for(asyncio.gather(*asked_by_many(setup, alone=alone)), 5)
    assert {answer.source for answer in answers} == {"policy"}
    await setup.cache.close()


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    """Callers who have hung up leave nothing behind but the requests under way."""
    setup = Setup()
    setup.provider.open.clear()
    asking = asked_by_many(setup)
    await eventually(lambda: len(setup.provider.asked) >= REQUESTS_AT_ONCE, 30, "requests are under way")
    for caller in asking:
        caller.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await eventually(lambda: len(setup.cache) == REQUESTS_AT_ONCE, 30, "the others are gone")
    setup.provider.open.set()
    await eventually(lambda: len(setup.cache) == 0, 30, "and in the end all are")
    assert len(setup.provider.asked) == REQUESTS_AT_ONCE


@pytest.mark.parametrize(("said_seconds", "waited_seconds"), [(20.0, 20.0), (86_400.0, 300.0)])
async def test_nobody_is_asked_before_retry_after(said_seconds: float, waited_seconds: float) -> None:
    """A provider that has too much to do is left alone, for 300 s at most; older answers and the policy serve."""
    setup = Setup(settings=LimitsSettings(max_stale_seconds=1000))
    setup.provider.answers["prd_1"] = units(10)
    await setup.remaining()
    setup.time.seconds += 11
    setup.provider.answers["prd_1"] = LimitsUnavailable("429", said_seconds)
    assert (await setup.cache.answer(ASK)).source == "stale"
    setup.provider.answers["prd_1"] = units(10)
    setup.time.seconds += waited_seconds - 0.1
    assert (await setup.cache.answer(ASK)).source == "stale"
    assert (await setup.cache.answer(Question("cus_2", "prd_1"))).source == "policy"
    assert (await setup.cache.answer(Question("cus_2", "prd_1", checkout_session=True))).source == "policy"
    assert len(setup.provider.asked) == 2
    setup.time.seconds += 0.2
    assert (await setup.cache.answer(ASK)).source == "fresh"


async def test_retry_after_holds_for_questions_that_wait_for_their_turn() -> None:
    """They were there before it was said."""
    setup = Setup()
    setup.provider.answers["prd_1"] = LimitsUnavailable("429", 20.0)
    setup.provider.open.clear()
    asking = asked_by_many(setup)
    await eventually(lambda: len(setup.provider.asked) >= REQUESTS_AT_ONCE, 30, "requests are under way")
    setup.provider.open.set()
    assert {answer.source for answer in await asyncio.gather(*asking)} == {"policy"}
    assert len(setup.provider.asked) == REQUESTS_AT_ONCE


async def test_without_a_cache_every_answer_is_the_providers() -> None:
    """`ttl_seconds` and `max_stale_seconds` 0: no snapshot serves a second question, but each serves its own."""
    setup = Setup(settings=LimitsSettings(ttl_seconds=0, max_stale_seconds=0, on_unavailable="allow"))
    setup.provider.answers["prd_1"] = units(0)
    for _ in range(20):
        setup.provider.open.clear()
        setup.provider.arrived.clear()
        asking = [asyncio.create_task(setup.cache.answer(ASK)) for _ in range(3)]
        await asyncio.wait_for(setup.provider.arrived.wait(), 30)
        setup.time.seconds += 0.5
        setup.provider.open.set()
        for _ in range(10):  # whenever a timer can strike
            await asyncio.sleep(0)
            setup.cache.forget_expired()
        for answer in await asyncio.gather(*asking):
            assert (answer.source, answer.body["withinLimits"]) == ("fresh", False)
    assert len(setup.provider.asked) == 20
    await nothing_is_kept(setup)


async def test_without_a_cache_nobody_sweeps_all_the_time() -> None:
    """Entries are looked through once a second, not whenever the loop turns."""
    setup = Setup(settings=LimitsSettings(ttl_seconds=0, max_stale_seconds=0))
    setup.provider.answers["prd_1"] = units(10)
    await setup.remaining()
    setup.time.seconds += 0.9
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(setup.cache) == 1
    await setup.cache.close()
