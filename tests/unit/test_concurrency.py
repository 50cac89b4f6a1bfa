"""How many requests may be in flight, and what an operator is told."""

from meter.pipeline.concurrency import MASS_REFUSAL, PROBE_LIMIT_SECONDS, Gate
from tests.builders import Most


def gate() -> Gate:
    return Gate(4, 900_000, Most())


def test_a_provider_that_is_well_gets_everything() -> None:
    """As many requests as configured, at once."""
    one = gate()
    assert (one.limit(), one.opens_at, one.state()) == (4, 0.0, "ok")


def test_after_a_failure_one_request_at_a_time_until_one_succeeds() -> None:
    """The breaker: single probes; the first success opens half of it again."""
    one = gate()
    one.failed("503", None, 9.0, 10.0)
    assert (one.limit(), one.state(), one.detail) == (1, "retrying", "503")
    assert one.opens_at > 10.0
    one.accepted(11.0, 11.1)
    assert (one.limit(), one.opens_at, one.state(), one.detail) == (2, 0.0, "ok", "")


def test_a_long_outage_neither_overflows_nor_probes_ever_more_rarely() -> None:
    """Ten thousand failures later the next probe is still at most half a minute away."""
    one = gate()
    for _ in range(10_000):
        one.failed("502", None, 99.0, 100.0)
    assert one.opens_at <= 130.0
    for _ in range(10_000):
        one.pause("unauthorized", "bad key", 200.0, 200.0)
    assert one.opens_at <= 200.25 + PROBE_LIMIT_SECONDS


def test_retry_after_is_obeyed_but_not_for_a_day() -> None:
    """P8: a header cannot stop billing for longer than five minutes."""
    one = gate()
    one.failed("429", 86_400.0, 99.0, 100.0)
    assert one.opens_at == 400.0


def test_an_earlier_answer_does_not_shorten_a_later_wait() -> None:
    """Requests that were in flight together fail together; the longest wait counts."""
    one = gate()
    one.failed("429", 60.0, 99.0, 100.0)
    one.failed("500", 0.0, 99.0, 101.0)
    assert one.opens_at == 160.0


def test_while_paused_single_requests_probe() -> None:
    """The reason is the last one that was told."""
    one = gate()
    one.pause("unauthorized", "bad key", 0.0, 0.0)
    one.pause("forbidden", "no", 2.0, 2.0)
    assert (one.state(), one.limit(), one.paused) == ("paused", 1, "forbidden")


def test_answers_to_requests_from_before_the_trouble_do_not_end_it() -> None:
    """Retry-After and a pause hold, whatever was under way when they began: it was started before."""
    one = gate()
    one.failed("429", 60.0, 9.0, 10.0)
    assert not one.accepted(9.5, 10.5)
    one.understood(9.5)
    assert (one.opens_at, one.state()) == (70.0, "retrying")
    assert one.accepted(70.0, 70.1)
    assert (one.opens_at, one.state()) == (0.0, "ok")


def test_an_answer_about_events_ends_any_pause_but_that_for_mass_refusal() -> None:
    """A provider that judges events is there and knows us; whether it is well only an acceptance shows."""
    one = gate()
    one.pause("unauthorized", "bad key", 0.0, 0.0)
    one.understood(0.5)
    assert one.state() == "ok"
    one.pause(MASS_REFUSAL, "validation failed", 0.0, 0.0)
    one.understood(0.5)
    assert one.state() == "paused"
    one.accepted(1.0, 1.1)
    assert one.state() == "ok"


def test_what_a_provider_bears_is_found_out() -> None:
    """Half after a failure, a little more with every success: never less than one, never above the bound."""
    one = gate()
    one.failed("429", None, 10.0, 11.0)
    limits = []
    for second in range(12, 20):
        one.accepted(second, second + 0.1)
        limits.append(one.limit())
    assert limits == [2, 2, 3, 3, 3, 4, 4, 4]
    for second in range(20, 40):
        one.failed("429", None, second, second + 0.1)
    one.accepted(40.0, 40.1)
    assert one.limit() == 2


def test_requests_that_fail_together_count_once() -> None:
    """Four in flight met one bad moment: that is one sign of too much, not four."""
    one = gate()
    for _ in range(4):
        one.failed("503", None, 10.0, 11.0)
    one.accepted(12.0, 12.1)
    assert one.limit() == 2


def test_answers_that_take_far_longer_than_usual_are_a_sign_as_well() -> None:
    """Before anything fails; and a provider that simply has become slower gets everything again."""
    one = gate()
    for second in range(20):
        one.accepted(second, second + 0.4)
    one.accepted(20.0, 23.0)
    assert (one.limit(), one.state()) == (2, "ok")
    for second in range(30, 130, 3):
        one.accepted(second, second + 3.0)
    assert one.limit() == 4
    small_then_large = gate()
    small_then_large.accepted(0.0, 0.005)
    small_then_large.accepted(1.0, 1.4)
    assert small_then_large.limit() == 4
