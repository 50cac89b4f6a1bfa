"""How many requests may be in flight, and what an operator is told."""

from meter.pipeline.concurrency import MASS_REFUSAL, PROBE_LIMIT_SECONDS, Gate
from tests.builders import Most


def gate() -> Gate:
    return Gate(4, Most())


def test_a_provider_that_is_well_gets_everything() -> None:
    """As many requests as configured, at once."""
    one = gate()
    assert (one.limit(), one.opens_at, one.state()) == (4, 0.0, "ok")


def test_after_a_failure_one_request_at_a_time_until_one_succeeds() -> None:
    """The breaker: single probes; the first success opens everything again."""
    one = gate()
    one.failed("503", None, 10.0)
    assert (one.limit(), one.state(), one.detail) == (1, "retrying", "503")
    assert one.opens_at > 10.0
    one.accepted()
    assert (one.limit(), one.opens_at, one.state(), one.detail) == (4, 0.0, "ok", "")


def test_a_long_outage_neither_overflows_nor_probes_ever_more_rarely() -> None:
    """Ten thousand failures later the next probe is still at most half a minute away."""
    one = gate()
    for _ in range(10_000):
        one.failed("502", None, 100.0)
    assert one.opens_at <= 130.0
    for _ in range(10_000):
        one.pause("unauthorized", "bad key", 200.0)
    assert one.opens_at <= 200.25 + PROBE_LIMIT_SECONDS


def test_retry_after_is_obeyed_but_not_for_a_day() -> None:
    """P8: a header cannot stop billing for longer than five minutes."""
    one = gate()
    one.failed("429", 86_400.0, 100.0)
    assert one.opens_at == 400.0


def test_an_earlier_answer_does_not_shorten_a_later_wait() -> None:
    """Requests that were in flight together fail together; the longest wait counts."""
    one = gate()
    one.failed("429", 60.0, 100.0)
    one.failed("500", 0.0, 101.0)
    assert one.opens_at == 160.0


def test_a_pause_is_news_once() -> None:
    """The log says it once; probes that fail the same way repeat nothing."""
    one = gate()
    assert one.pause("unauthorized", "bad key", 0.0)
    assert not one.pause("unauthorized", "bad key", 1.0)
    assert one.pause("forbidden", "no", 2.0)
    assert (one.state(), one.limit()) == ("paused", 1)


def test_an_answer_about_events_ends_any_pause_but_that_for_mass_refusal() -> None:
    """A provider that judges events is there and knows us; whether it is well only an acceptance shows."""
    one = gate()
    one.pause("unauthorized", "bad key", 0.0)
    one.understood()
    assert one.state() == "ok"
    one.pause(MASS_REFUSAL, "validation failed", 0.0)
    one.understood()
    assert one.state() == "paused"
    one.accepted()
    assert one.state() == "ok"
