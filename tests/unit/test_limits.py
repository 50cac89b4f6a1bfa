"""The limits cache: fresh, cached, stale, by policy; never more than the provider said minus what is pending."""

import asyncio

import pytest

from meter.billing.limits_outcome import (
    LimitsAnswer,
    LimitsInvalid,
    LimitsNotFound,
    LimitsOutcome,
    LimitsRefused,
)
from meter.pipeline.outcome import Refusal
from meter.settings import LimitsSettings
from tests.builders import Counted
from tests.limits_setup import ASK, AWAY, Setup, meter, nothing_is_kept, prepaid, units


async def test_an_answer_is_the_providers_minus_what_is_pending() -> None:
    """Every other field goes through; `meter` says how it was reckoned."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10, meterName="requests", plans=[{"reference": "pln_1"}])
    setup.usage.hold([Counted("cus_1", "prd_1", 4)])
    answer = await setup.cache.answer(ASK)
    assert answer.body == {
        "withinLimits": True,
        "remaining": 6,
        "meterName": "requests",
        "plans": [{"reference": "pln_1"}],
        "meter": {
            "pendingUnits": 4,
            "providerRemaining": 10,
            "asOf": "2027-01-15T08:16:40.000Z",
            "source": "fresh",
        },
    }


@pytest.mark.parametrize("held", [10, 11, 500])
async def test_when_pending_usage_eats_the_rest_the_customer_is_blocked(held: int) -> None:
    """Never below 0."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    setup.usage.hold([Counted("cus_1", "prd_1", held)])
    answer = await setup.cache.answer(ASK)
    assert (answer.body["withinLimits"], answer.body["remaining"]) == (False, 0)


async def test_unlimited_is_never_counted_down() -> None:
    """T5: 999999 stays, whatever is pending."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(999_999)
    setup.usage.hold([Counted("cus_1", "prd_1", 2_000_000)])
    answer = await setup.cache.answer(ASK)
    assert (answer.body["withinLimits"], answer.body["remaining"]) == (True, 999_999)


async def test_what_the_provider_blocks_stays_as_it_says() -> None:
    """`remaining` below 0 is the provider's to say."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(-3, activationRequired=True)
    setup.usage.hold([Counted("cus_1", "prd_1", 1)])
    answer = await setup.cache.answer(ASK)
    assert (answer.body["withinLimits"], answer.body["remaining"], answer.body["activationRequired"]) == (
        False,
        -3,
        True,
    )


async def test_a_snapshot_is_used_again_while_it_is_fresh_and_still_counts_down() -> None:
    """Within the TTL nobody is asked, and what was held since is taken off all the same."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    assert await setup.remaining() == 10
    setup.usage.hold([Counted("cus_1", "prd_1", 3)])
    setup.time.seconds += 10
    assert await setup.remaining() == 7
    assert (len(setup.provider.asked), setup.seen) == (1, ["fresh", "cached"])


async def test_after_the_ttl_the_provider_is_asked_again() -> None:
    """And its new answer knows what was sent before it was asked."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    await setup.remaining()
    events = [Counted("cus_1", "prd_1", 3)]
    setup.usage.hold(events)
    setup.usage.leave(events, sent=True)
    assert await setup.remaining() == 7
    setup.provider.answers["prd_1"] = units(7)
    setup.time.seconds += 10.1
    assert await setup.remaining() == 7
    assert setup.seen == ["fresh", "cached", "fresh"]


async def test_units_sent_while_a_request_runs_stay_pending() -> None:
    """T1: the snapshot may have been taken before the insert."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    setup.provider.open.clear()
    asking = asyncio.create_task(setup.cache.answer(ASK))
    await setup.provider.arrived.wait()
    events = [Counted("cus_1", "prd_1", 10)]
    setup.usage.hold(events)
    setup.usage.leave(events, sent=True)
    setup.provider.open.set()
    assert (await asking).body["remaining"] == 0


async def test_a_denial_is_asked_for_again_after_a_second() -> None:
    """A customer who has just paid does not wait for the TTL."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(0)
    assert await setup.remaining() == 0
    setup.provider.answers["prd_1"] = units(100)
    setup.time.seconds += 1.1
    assert await setup.remaining() == 100


async def test_callers_share_one_request_and_a_caller_who_leaves_does_not_end_it() -> None:
    """One request in flight per key."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    setup.provider.open.clear()
    first, second = (asyncio.create_task(setup.cache.answer(ASK)) for _ in range(2))
    await setup.provider.arrived.wait()
    first.cancel()
    await asyncio.wait((first,))
    setup.provider.open.set()
    assert (await second).body["remaining"] == 10
    assert len(setup.provider.asked) == 1


@pytest.mark.parametrize("trouble", [AWAY, LimitsRefused(Refusal.UNAUTHORIZED, "401"), LimitsAnswer({"hello": 1})])
async def test_while_the_provider_is_away_an_older_answer_serves_and_says_so(trouble: LimitsOutcome) -> None:
    """`stale` up to `max_stale_seconds`, then by policy."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    await setup.remaining()
    setup.provider.answers["prd_1"] = trouble
    setup.usage.hold([Counted("cus_1", "prd_1", 2)])
    setup.time.seconds += 60
    answer = await setup.cache.answer(ASK)
    assert (answer.body["remaining"], answer.source) == (8, "stale")
    setup.time.seconds += 0.1
    assert (await setup.cache.answer(ASK)).source == "policy"


async def test_nobody_waits_long_for_a_slow_provider_when_an_older_answer_is_at_hand() -> None:
    """The request goes on in the background, and the next caller profits from it."""
    setup = Setup(patience_seconds=0.01)
    setup.provider.answers["prd_1"] = units(10)
    await setup.remaining()
    setup.time.seconds += 20
    setup.provider.open.clear()
    assert (await asyncio.wait_for(setup.cache.answer(ASK), 30)).source == "stale"
    setup.provider.answers["prd_1"] = units(50)
    setup.provider.open.set()
    assert await setup.remaining() == 50
    assert len(setup.provider.asked) == 2


@pytest.mark.parametrize(("policy", "allowed"), [("allow", True), ("deny", False)])
async def test_with_nothing_to_go_by_the_policy_answers(policy: str, allowed: bool) -> None:
    """It promises nothing: `remaining` is 0 either way, and it says so."""
    setup = Setup(settings=LimitsSettings.model_validate({"on_unavailable": policy}))
    setup.usage.hold([Counted("cus_1", "prd_1", 2)])
    answer = await setup.cache.answer(ASK)
    assert (answer.status, answer.body["withinLimits"], answer.body["remaining"]) == (200, allowed, 0)
    assert meter(answer) == {"pendingUnits": 2, "providerRemaining": None, "asOf": None, "source": "policy"}


async def test_errors_are_never_cached() -> None:
    """The next question after a failure is asked again at once."""
    setup = Setup()
    assert (await setup.cache.answer(ASK)).source == "policy"
    setup.provider.answers["prd_1"] = units(10)
    assert (await setup.cache.answer(ASK)).source == "fresh"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(LimitsNotFound("Customer not found"), 404), (LimitsInvalid("Validation failed"), 400)],
)
async def test_a_refused_question_is_refused_in_the_providers_words(outcome: LimitsOutcome, status: int) -> None:
    """And what was known before is not true any more, so it does not come back as a stale answer."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    await setup.remaining()
    setup.provider.answers["prd_1"] = outcome
    setup.time.seconds += 20
    answer = await setup.cache.answer(ASK)
    assert (answer.status, answer.body["statusCode"]) == (status, status)
    setup.provider.answers["prd_1"] = AWAY
    assert (await setup.cache.answer(ASK)).source == "policy"


async def test_a_checkout_session_is_made_for_each_caller_who_asks() -> None:
    """Neither from the cache nor into it."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(0, checkoutUrl="https://pay.example/1")
    alone = ASK._replace(checkout_session=True)
    first = await setup.cache.answer(alone)
    await setup.cache.answer(alone)
    setup.provider.answers["prd_1"] = units(0)
    polled = await setup.cache.answer(ASK)
    assert first.body["checkoutUrl"] == "https://pay.example/1"
    assert "checkoutUrl" not in polled.body
    assert [request.get("includeCheckoutSession") for request in setup.provider.asked] == [True, True, None]
    await nothing_is_kept(setup)


async def test_meters_of_a_product_are_apart() -> None:
    """`meterName` wins over `usageType`; both reach the provider."""
    setup = Setup()
    setup.provider.answers["prd_1"] = units(10)
    await setup.cache.answer(ASK._replace(meter_name="requests", usage_type="tokens"))
    await setup.cache.answer(ASK._replace(meter_name="requests"))
    await setup.cache.answer(ASK._replace(usage_type="tokens"))
    assert setup.provider.asked == [
        {"customerRef": "cus_1", "productRef": "prd_1", "meterName": "requests", "usageType": "tokens"},
        {"customerRef": "cus_1", "productRef": "prd_1", "usageType": "tokens"},
    ]


async def test_credits_are_the_customers_and_every_product_draws_on_them() -> None:
    """T3: held usage of product A counts when B is asked, at A's price, which is looked up first."""
    setup = Setup()
    setup.provider.answers |= {"prd_1": prepaid(1000, 100), "prd_2": prepaid(1000, 10)}
    setup.usage.hold([Counted("cus_1", "prd_2", 25)])
    setup.usage.hold([Counted("cus_1", "prd_1", 1)])
    answer = await setup.cache.answer(ASK)
    assert answer.body["remaining"] == 6  # (1000 - 25*10 - 1*100) // 100
    assert meter(answer)["pendingUnits"] == 1
    await setup.cache.answer(ASK)
    assert len(setup.provider.asked) == 2


async def test_usage_that_takes_no_credits_leaves_them_alone() -> None:
    """A product with an allowance, an unknown one, and usage that names none."""
    setup = Setup()
    setup.provider.answers |= {
        "prd_1": prepaid(1000, 100),
        "prd_2": units(5),
        "prd_3": LimitsNotFound("Product not found"),
    }
    for product in ("prd_2", "prd_3", ""):
        setup.usage.hold([Counted("cus_1", product, 3)])
    assert await setup.remaining() == 10
    await setup.remaining()
    assert len(setup.provider.asked) == 3


async def test_while_a_price_is_not_to_be_had_the_policy_answers() -> None:
    """Nothing is promised from credits that usage at an unknown price may have taken."""
    setup = Setup()
    setup.provider.answers["prd_1"] = prepaid(1000, 100)
    setup.usage.hold([Counted("cus_1", "prd_2", 1)])
    assert (await setup.cache.answer(ASK)).source == "policy"
    setup.provider.answers["prd_2"] = prepaid(1000, 50)
    assert await setup.remaining() == 9
