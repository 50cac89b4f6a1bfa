"""What allowances count: sums per customer, product and day, in memory because writing them would cost too much."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from meter.sandbox.bookkeeping.entries import Purchase
from meter.sandbox.bookkeeping.periods import LAST_MOMENT, Period, counted_period
from meter.sandbox.bookkeeping.usages import Usage
from meter.sandbox.rest.errors import iso

_DAY_LETTERS = len("2026-01-01")
_SUMS = """
    SELECT environment, customer_ref, product_ref, outcome,
        SUBSTR(COALESCE(timestamp, STRFTIME('%Y-%m-%d', recorded_at, 'unixepoch')), 1, 10) AS day,
        SUM(units), COUNT(*)
    FROM usages GROUP BY 1, 2, 3, 4, 5"""


class Counting(NamedTuple):
    """Which usage an allowance counts, and how.

    `counts` is units or events, `scope` product or customer, `period` month, anniversary or 30_days.
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
        self._period = counting.period
        self._sums: dict[tuple[int, str, str | None], dict[str, int]] = {}

    def load(self, db: sqlite3.Connection) -> None:
        """Sum up what the table holds."""
        self._sums.clear()
        for environment, customer_ref, product_ref, outcome, day, units, events in db.execute(_SUMS):
            if outcome in self._outcomes and (product_ref is not None or not self._per_product):
                counter = (environment, customer_ref, product_ref if self._per_product else None)
                days = self._sums.setdefault(counter, {})
                days[day] = days.get(day, 0) + (units if self._by_units else events)

    def add(self, environment: int, usages: Iterable[Usage], now: float) -> None:
        """Add new usages, each on the day of its own timestamp."""
        sums, outcomes, per_product, by_units = self._sums, self._outcomes, self._per_product, self._by_units
        today = iso(now)[:_DAY_LETTERS]
        for usage in usages:
            if usage.outcome in outcomes and (usage.product_ref is not None or not per_product):
                day = today if usage.timestamp is None else usage.timestamp[:_DAY_LETTERS]
                counter = (environment, usage.customer_ref, usage.product_ref if per_product else None)
                days = sums.get(counter)
                if days is None:
                    days = sums[counter] = {}
                days[day] = days.get(day, 0) + (usage.units if by_units else 1)

    def period(self, purchase: Purchase, moment: float) -> Period:
        """The period of Unix seconds in which the purchase's allowance is used; what is bought once has only one."""
        if purchase.plan.type == "one-time":
            day = f"{purchase.created_at[:_DAY_LETTERS]}T00:00:00.000Z"
            return Period(day, purchase.end_date or LAST_MOMENT)
        return counted_period(purchase.billed_from, purchase.plan.billing_cycle, moment, self._period)

    def used(self, environment: int, purchase: Purchase, moment: float) -> int:
        """What counts toward the purchase's allowance in the period of the moment: units of success, usually."""
        period = self.period(purchase, moment)
        # A period that ends within a day has the whole of it; "2026-04-01" comes before "2026-04-01T12:00:00.000Z".
        first, last = period.begin[:_DAY_LETTERS], period.end.removesuffix("T00:00:00.000Z")
        counted = sum(
            count
            for day, count in self._days(environment, purchase.customer_ref, purchase.product_ref).items()
            if first <= day < last
        )
        return max(counted - purchase.counted_before, 0)

    def on_day(self, environment: int, customer_ref: str, product_ref: str, moment: float) -> int:
        """What has counted since the midnight (UTC) before the moment, whatever the purchase."""
        return self._days(environment, customer_ref, product_ref).get(iso(moment)[:_DAY_LETTERS], 0)

    def _days(self, environment: int, customer_ref: str, product_ref: str) -> dict[str, int]:
        return self._sums.get((environment, customer_ref, product_ref if self._per_product else None), {})
