"""What the limits cache keeps: a bounded number of entries, for a bounded time, and nothing at the end."""

import asyncio

from meter.limits import Question
from meter.settings import LimitsSettings
from tests.limits_setup import ASK, Setup, nothing_is_kept, units


async def test_entries_are_bounded_and_the_least_used_goes_first() -> None:
    """Memory is bounded whatever is asked for."""
    setup = Setup(settings=LimitsSettings(max_entries=2))
    setup.provider.answers |= {name: units(1) for name in "abc"}
    for product in "abacab":
        await setup.remaining(product)
    assert [request["productRef"] for request in setup.provider.asked] == ["a", "b", "c", "b"]
    assert len(setup.cache) == 2


async def test_running_requests_count_as_entries() -> None:
    """At the bound a further question is answered by policy instead of starting another request."""
    setup = Setup(settings=LimitsSettings(max_entries=1))
    setup.provider.answers |= {"a": units(1), "b": units(1)}
    setup.provider.open.clear()
    asking = asyncio.create_task(setup.cache.answer(Question("cus_1", "a")))
    await setup.provider.arrived.wait()
    assert (await setup.cache.answer(Question("cus_1", "b"))).source == "policy"
    setup.provider.open.set()
    assert (await asking).source == "fresh"
    assert len(setup.cache) == 1


async def test_old_snapshots_are_forgotten_with_their_counters() -> None:
    """Nobody asks any more: nothing remains, neither entry nor pin."""
    setup = Setup()
    setup.provider.answers |= {f"prd_{n}": units(1) for n in range(300)}
    for n in range(300):
        await setup.remaining(f"prd_{n}")
    await nothing_is_kept(setup)


async def test_closing_lets_go_of_requests_under_way() -> None:
    """The caller still gets an answer, and no counter stays behind."""
    setup = Setup()
    setup.provider.open.clear()
    asking = asyncio.create_task(setup.cache.answer(ASK))
    await setup.provider.arrived.wait()
    await setup.cache.close()
    assert (await asking).source == "policy"
    assert (len(setup.cache), len(setup.usage)) == (0, 0)
