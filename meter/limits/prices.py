"""What one unit of each product costs a customer in credits, as far as it is known."""

from collections import OrderedDict
from collections.abc import Mapping

_KNOWN_SECONDS = 60.0
"""Plans are frozen into purchases, so a price changes only when the customer changes his plan."""


class Prices:
    """Apart from the snapshots: a product that the provider does not know costs one question a minute, not each."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._prices: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()  # price, as of

    def remember(self, customer: str, product: str, price: float, now_seconds: float) -> None:
        """Credits per unit; 0 when usage of this product takes none."""
        self._prices[customer, product] = (price, now_seconds)
        self._prices.move_to_end((customer, product))
        if len(self._prices) > self._max_entries:
            self._prices.popitem(last=False)

    def credits(
        self, customer: str, pending: Mapping[str, int], known: Mapping[str, float], now_seconds: float
    ) -> tuple[float, list[str]]:
        """Pending units (by product) in credits, and the products whose price is not known.

        `known` goes before what is remembered. Usage that names no product takes no credits.
        """
        total: float = 0
        unknown = []
        for product, units in pending.items():
            price = known[product] if product in known else self._price(customer, product, now_seconds)
            if price is None:
                unknown.append(product)
            else:
                total += units * price
        return total, unknown

    def _price(self, customer: str, product: str, now_seconds: float) -> float | None:
        if not product:
            return 0
        price, as_of = self._prices.get((customer, product), (None, 0.0))
        return price if now_seconds - as_of <= _KNOWN_SECONDS else None
