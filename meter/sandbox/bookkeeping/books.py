"""The books of one environment: every transaction by its reference, and the figures, each a sum over rows."""

from collections.abc import Iterable
from typing import NamedTuple

from meter.sandbox.bookkeeping.entries import Transaction


class Figures(NamedTuple):
    """Each row is counted once: a payment that succeeded, one that failed, or a refund.

    So `total` is `successful` + `failed` + `refunded`, and a refund, which is a row of its own, makes it grow.
    `revenue` is in minor units: what payments brought less what refunds gave back, whether partial or full.
    """

    total: int
    successful: int
    failed: int
    refunded: int
    revenue: int


class Books:
    """The transactions, the oldest first."""

    def __init__(self) -> None:
        self._rows: dict[str, Transaction] = {}
        self._by_product: dict[str, dict[str, Transaction]] = {}
        self._by_purchase: dict[str, dict[str, Transaction]] = {}
        self._refunds: dict[str, dict[str, Transaction]] = {}

    def place(self, row: Transaction) -> None:
        """Add a row, or put it in place of the one with its reference."""
        self._rows[row.reference] = row
        for index, name in (
            (self._by_product, row.product_ref),
            (self._by_purchase, row.purchase_ref),
            (self._refunds, row.source_transaction_ref),
        ):
            if name is not None:
                index.setdefault(name, {})[row.reference] = row

    def find(self, reference: str) -> Transaction | None:
        """The row with that reference."""
        return self._rows.get(reference)

    def rows(self) -> list[Transaction]:
        """All of them."""
        return list(self._rows.values())

    def between(self, from_date: str | None, to_date: str | None) -> Figures:
        """The figures of the days (`YYYY-MM-DD`, UTC) from one to the other, both included; None is no bound."""
        first, last = from_date or "", to_date or "~"
        return figures(row for row in self._rows.values() if first <= row.created_at[:10] <= last)

    def of_product(self, product_ref: str) -> Figures:
        """The figures of one product since its beginning."""
        return figures(self._by_product.get(product_ref, {}).values())

    def refundable(self, payment: Transaction) -> int:
        """How much of a payment has not been given back, in minor units; nothing of what brought nothing."""
        if not payment.has_paid:
            return 0
        return payment.amount - sum(refund.amount for refund in self._refunds.get(payment.reference, {}).values())

    def payments_of(self, purchase_ref: str) -> list[Transaction]:
        """The payments for a purchase that succeeded."""
        return [row for row in self._by_purchase.get(purchase_ref, {}).values() if row.has_paid]


def figures(rows: Iterable[Transaction]) -> Figures:
    """The sums over rows."""
    successful = failed = refunded = revenue = 0
    for row in rows:
        if row.has_paid:
            successful += 1
            revenue += row.amount
        elif row.is_refund:
            refunded += 1
            revenue -= row.amount
        else:
            failed += 1
    return Figures(successful + failed + refunded, successful, failed, refunded, revenue)
