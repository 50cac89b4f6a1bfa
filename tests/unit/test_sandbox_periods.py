"""Billing periods, to the day."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter.sandbox.bookkeeping.periods import counted_period, days_later, moment_of, period_end
from meter.sandbox.rest.errors import iso


@pytest.mark.parametrize(
    ("start", "cycle", "now", "end"),
    [
        ("2026-01-15", "monthly", "2026-01-15", "2026-02-15"),
        ("2026-01-15", "monthly", "2026-02-14", "2026-02-15"),
        ("2026-01-15", "monthly", "2026-02-15", "2026-03-15"),
        ("2026-01-31", "monthly", "2026-02-10", "2026-02-28"),
        ("2026-01-31", "monthly", "2026-02-28", "2026-03-31"),
        ("2026-01-31", None, "2026-12-31", "2027-01-31"),
        ("2024-02-29", "yearly", "2025-02-27", "2025-02-28"),
        ("2024-02-29", "yearly", "2028-01-01", "2028-02-29"),
        ("2026-01-15", "quarterly", "2026-06-01", "2026-07-15"),
        ("2026-01-01", "weekly", "2026-01-08", "2026-01-15"),
        ("2026-01-01", "custom", "2026-01-30", "2026-01-31"),
    ],
)
def test_a_period_ends_on_the_day_that_it_began(start: str, cycle: str | None, now: str, end: str) -> None:
    """Months keep the day of the start as far as they have it; weeks are 7 days, a custom cycle is 30."""
    moment = moment_of(f"{now}T12:00:00.000Z").timestamp()
    assert period_end(f"{start}T12:00:00.000Z", cycle, moment) == f"{end}T12:00:00.000Z"


@given(
    start=st.floats(0, 4e9),
    passed=st.floats(0, 4e8),
    cycle=st.sampled_from(["weekly", "monthly", "quarterly", "yearly", "custom", None]),
)
def test_now_lies_in_its_period(start: float, passed: float, cycle: str | None) -> None:
    """The end is later than now, and the end of the end's own period is later still."""
    begin, now = iso(start), iso(start + passed)
    end = period_end(begin, cycle, moment_of(now).timestamp())
    assert end > now
    assert period_end(begin, cycle, moment_of(end).timestamp()) > end


@pytest.mark.parametrize(
    ("kind", "cycle", "now", "begin", "end"),
    [
        ("month", None, "2026-12-31", "2026-12-01", "2027-01-01"),
        ("month", "monthly", "2026-01-20", "2026-01-01", "2026-02-01"),
        ("month", "quarterly", "2026-06-30", "2026-04-01", "2026-07-01"),
        ("month", "yearly", "2026-06-30", "2026-01-01", "2027-01-01"),
        ("month", "weekly", "2026-01-21", "2026-01-15", "2026-01-22"),
        ("month", "custom", "2026-02-14", "2026-02-14", "2026-03-16"),
        ("anniversary", None, "2026-02-14", "2026-01-15", "2026-02-15"),
        ("anniversary", "monthly", "2026-02-15", "2026-02-15", "2026-03-15"),
        ("anniversary", "monthly", "2025-12-20", "2025-12-15", "2026-01-15"),
        ("anniversary", "quarterly", "2026-06-30", "2026-04-15", "2026-07-15"),
        ("anniversary", "yearly", "2027-01-14", "2026-01-15", "2027-01-15"),
        ("anniversary", "weekly", "2026-01-21", "2026-01-15", "2026-01-22"),
        ("30_days", None, "2026-02-13", "2026-01-15", "2026-02-14"),
        ("30_days", "quarterly", "2026-04-15", "2026-04-15", "2026-07-14"),
        ("30_days", "yearly", "2027-01-15", "2027-01-15", "2028-01-15"),
        ("30_days", "weekly", "2026-01-22", "2026-01-22", "2026-01-29"),
    ],
)
def test_allowances_are_counted_over_whole_days(kind: str, cycle: str | None, now: str, begin: str, end: str) -> None:
    """For what began on 15 January: calendar months, quarters and years, or counted from that day; always in UTC."""
    moment = moment_of(f"{now}T23:59:59.999Z").timestamp()
    expected = (f"{begin}T00:00:00.000Z", f"{end}T00:00:00.000Z")
    assert counted_period("2026-01-15T12:00:00.000Z", cycle, moment, kind) == expected


@given(
    start=st.floats(0, 4e9),
    now=st.floats(0, 4e9),
    cycle=st.sampled_from(["weekly", "monthly", "quarterly", "yearly", "custom", None]),
    kind=st.sampled_from(["month", "anniversary", "30_days"]),
)
def test_every_moment_is_counted_in_one_period(start: float, now: float, cycle: str | None, kind: str) -> None:
    """It lies in its own, and where that ends the next one begins, also before the start."""
    period = counted_period(iso(start), cycle, now, kind)
    assert period.begin <= iso(now) < period.end
    after = counted_period(iso(start), cycle, moment_of(period.end).timestamp(), kind)
    assert after.begin == period.end


def test_a_day_that_cannot_be_written_is_the_last_one() -> None:
    """No number of days is too large."""
    assert days_later("2026-01-01T00:00:00.000Z", 30) == "2026-01-31T00:00:00.000Z"
    assert days_later("2026-01-01T00:00:00.000Z", 1e300).startswith("9999-12-31")
