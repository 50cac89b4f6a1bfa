"""What allowances count: sums per customer, product and month, in memory because writing them would cost too much."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from meter.sandbox.timestamps import month_of
from meter.sandbox.usages import Usage

_SUMS = """
    SELECT environment, customer_ref, product_ref, outcome,
        COALESCE(SUBSTR(timestamp, 1, 7), STRFTIME('%Y-%m', recorded_at, 'unixepoch')) AS month,
        SUM(units), COUNT(*)
    FROM usages GROUP BY 1, 2, 3, 4, 5"""


class Counting(NamedTuple):
    """Which usage an allowance counts, and how: `counts` units or events, `scope` product or customer."""

    counts: str = "units"
    outcomes: frozenset[str] = frozenset(["success"])
    scope: str = "product"


class Counts:
    """The sums of the usages that a store holds."""

    def __init__(self, counting: Counting) -> None:
        self._outcomes = counting.outcomes
        self._by_units = counting.counts == "units"
        self._per_product = counting.scope == "product"
        self._sums: dict[tuple[int, str, str | None, str], int] = {}

    def load(self, db: sqlite3.Connection) -> None:
        """Sum up what the table holds."""
        self._sums.clear()
        for environment, customer_ref, product_ref, outcome, month, units, events in db.execute(_SUMS):
            if outcome in self._outcomes and (product_ref is not None or not self._per_product):
                counter = (environment, customer_ref, product_ref if self._per_product else None, month)
                self._sums[counter] = self._sums.get(counter, 0) + (units if self._by_units else events)

    def add(self, environment: int, usages: Iterable[Usage], now: float) -> None:
        """Add new usages, each in the month of its own timestamp."""
        sums, outcomes, per_product, by_units = self._sums, self._outcomes, self._per_product, self._by_units
        this_month = month_of(now)
        for usage in usages:
            if usage.outcome in outcomes and (usage.product_ref is not None or not per_product):
                month = this_month if usage.timestamp is None else usage.timestamp[:7]
                counter = (environment, usage.customer_ref, usage.product_ref if per_product else None, month)
                sums[counter] = sums.get(counter, 0) + (usage.units if by_units else 1)

    def used(self, environment: int, customer_ref: str, product_ref: str, month: str) -> int:
        """What counts toward an allowance in the calendar month `YYYY-MM`: units of successful usage, usually."""
        return self._sums.get((environment, customer_ref, product_ref if self._per_product else None, month), 0)
