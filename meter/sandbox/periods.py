"""Periods: where the one that a moment falls into begins and ends, for bills and for allowances."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from meter.sandbox.errors import iso

_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
_DAYS = {"weekly": 7, "custom": 30}


def moment_of(text: str) -> datetime:
    """The moment that `errors.iso` has written."""
    return datetime.fromisoformat(text)


def period_end(start: str, billing_cycle: str | None, now: float) -> str:
    """Where the period of `now` (Unix seconds) ends, for periods that begin at `start`; no cycle means months.

    Months keep the day of the start: 31 January, 28 February, 31 March.
    """
    begin, moment = moment_of(start), datetime.fromtimestamp(now, UTC)
    if billing_cycle in _DAYS:
        length = timedelta(days=_DAYS[billing_cycle])
        passed = max((moment - begin) // length, 0)
        return iso((begin + (passed + 1) * length).timestamp())
    step = _MONTHS.get(billing_cycle or "monthly", 1)
    passed = max((moment.year - begin.year) * 12 + moment.month - begin.month, 0) // step
    if _months_later(begin, passed * step) > moment and passed:
        passed -= 1
    return iso(_months_later(begin, (passed + 1) * step).timestamp())


def days_later(start: str, days: float) -> str:
    """`days` after `start`; the last moment that can be written when that is later."""
    try:
        return iso((moment_of(start) + timedelta(days=days)).timestamp())
    except OverflowError:
        return "9999-12-31T23:59:59.999Z"


class Period(NamedTuple):
    """What an allowance is counted over, in the form of `errors.iso`; the end is the next one's begin."""

    begin: str
    end: str


def calendar_month(moment: float) -> Period:
    """The calendar month (UTC) of Unix seconds."""
    begin = _midnight(datetime.fromtimestamp(moment, UTC)).replace(day=1)
    return Period(iso(begin.timestamp()), iso(_months_later(begin, 1).timestamp()))


def thirty_days(start: str, moment: float) -> Period:
    """The thirty whole days (UTC) that Unix seconds fall into, counted from the day of `start`."""
    first, length = _midnight(moment_of(start)), timedelta(days=30)
    begin = first + (datetime.fromtimestamp(moment, UTC) - first) // length * length
    return Period(iso(begin.timestamp()), iso((begin + length).timestamp()))


def days_of(period: Period) -> list[str]:
    """Every day of the period, as `YYYY-MM-DD`."""
    begin, end = moment_of(period.begin), moment_of(period.end)
    return [f"{begin + timedelta(days=day):%Y-%m-%d}" for day in range((end - begin).days)]


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _months_later(begin: datetime, months: int) -> datetime:
    year, month = divmod(begin.year * 12 + begin.month - 1 + months, 12)
    return begin.replace(year=year, month=month + 1, day=min(begin.day, monthrange(year, month + 1)[1]))
