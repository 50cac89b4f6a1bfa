"""What allowances count: sums per customer, product and period, in memory because writing them would cost too much."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from meter.sandbox.errors import iso
from meter.sandbox.periods import Period, calendar_month, days_of, thirty_days
from meter.sandbox.usages import Usage

_SUMS = """
    SELECT environment, customer_ref, product_ref, outcome,
        SUBSTR(COALESCE(timestamp, STRFTIME('%Y-%m-%d', recorded_at, 'unixepoch')), 1, ?) AS span,
        SUM(units), COUNT(*)
    FROM usages GROUP BY 1, 2, 3, 4, 5"""


class Counting(NamedTuple):
    """Which usage an allowance counts, and how.

    `counts` is units or events, `scope` product or customer, `period` month or 30_days.
    """

    counts: str = "units"
    outcomes: frozenset[str] = frozenset(["success"])
    scope: str = "product"
    period: str = "month"


class Counts:
    """The sums of the usages that a store holds."""

    def __init__(self, counting: Counting) -> None:
        self._outcomes = counting.outcomes
        self._by_units = counting.counts == "units"
        self._per_product = counting.scope == "product"
        # The first letters of a timestamp under which usage is summed: its month, or its day.
        self._letters = len("2026-01") if counting.period == "month" else len("2026-01-01")
        self._sums: dict[tuple[int, str, str | None, str], int] = {}

    def load(self, db: sqlite3.Connection) -> None:
        """Sum up what the table holds."""
        self._sums.clear()
        for environment, customer_ref, product_ref, outcome, span, units, events in db.execute(_SUMS, (self._letters,)):
            if outcome in self._outcomes and (product_ref is not None or not self._per_product):
                counter = (environment, customer_ref, product_ref if self._per_product else None, span)
                self._sums[counter] = self._sums.get(counter, 0) + (units if self._by_units else events)

    def add(self, environment: int, usages: Iterable[Usage], now: float) -> None:
        """Add new usages, each in the period of its own timestamp."""
        sums, outcomes, per_product, by_units = self._sums, self._outcomes, self._per_product, self._by_units
        letters = self._letters
        today = iso(now)[:letters]
        for usage in usages:
            if usage.outcome in outcomes and (usage.product_ref is not None or not per_product):
                span = today if usage.timestamp is None else usage.timestamp[:letters]
                counter = (environment, usage.customer_ref, usage.product_ref if per_product else None, span)
                sums[counter] = sums.get(counter, 0) + (usage.units if by_units else 1)

    def period(self, start: str, moment: float) -> Period:
        """The period of Unix seconds for a purchase that began at `start`."""
        return calendar_month(moment) if self._letters == len("2026-01") else thirty_days(start, moment)

    def used(self, environment: int, customer_ref: str, product_ref: str, period: Period) -> int:
        """What counts toward an allowance in the period: units of successful usage, usually."""
        name = (environment, customer_ref, product_ref if self._per_product else None)
        spans = [period.begin[: self._letters]] if self._letters == len("2026-01") else days_of(period)
        return sum(self._sums.get((*name, span), 0) for span in spans)
