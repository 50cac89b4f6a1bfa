"""Periods: where the one that a moment falls into begins and ends, for bills and for allowances."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from meter.sandbox.rest.errors import iso

_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
_DAYS = {"weekly": 7, "custom": 30}
_FIXED_DAYS = {**_DAYS, "monthly": 30, "quarterly": 90, "yearly": 365}


LAST_MOMENT = "9999-12-31T23:59:59.999Z"


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
        return LAST_MOMENT


class Period(NamedTuple):
    """What an allowance is counted over, in the form of `errors.iso`; the end is the next one's begin."""

    begin: str
    end: str


def counted_period(start: str, billing_cycle: str | None, moment: float, kind: str) -> Period:
    """The period of whole days (UTC) that Unix seconds fall into, for an allowance that began at `start`.

    `kind` is month (calendar months, quarters and years), anniversary (as long, but from the day of the start) or
    30_days (30, 90 and 365 days from it). Weeks, and the 30 days of a custom cycle, always count from that day.
    """
    first, now = _midnight(moment_of(start)), datetime.fromtimestamp(moment, UTC)
    days = (_FIXED_DAYS if kind == "30_days" else _DAYS).get(billing_cycle or "monthly")
    if days is not None:
        begin = first + (now - first) // timedelta(days=days) * timedelta(days=days)
        return Period(iso(begin.timestamp()), iso((begin + timedelta(days=days)).timestamp()))
    step = _MONTHS[billing_cycle or "monthly"]
    if kind == "month":
        first = first.replace(month=1, day=1)
    passed = ((now.year - first.year) * 12 + now.month - first.month) // step
    if _months_later(first, passed * step) > now:
        passed -= 1
    begin, end = _months_later(first, passed * step), _months_later(first, (passed + 1) * step)
    return Period(iso(begin.timestamp()), iso(end.timestamp()))


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _months_later(begin: datetime, months: int) -> datetime:
    year, month = divmod(begin.year * 12 + begin.month - 1 + months, 12)
    return begin.replace(year=year, month=month + 1, day=min(begin.day, monthrange(year, month + 1)[1]))
