"""Usage that the provider may not have counted yet, per customer and product.

While an event is held its units are `held`. When it leaves, units that were ever sent move to `sent`, whatever
became of them. A limits snapshot pins its customer when its request *starts*; from then on

    pending = held + sent now - sent at the start

so that a promise made from the snapshot never forgets usage that the provider may have missed. No clock is involved.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

MAX_RESTING = 10_000


class Usage:
    """The two counters of one product; serials order its birth and its last sent unit against the pins."""

    __slots__ = ("born", "held", "last_sent", "rests", "sent")

    def __init__(self, born: int) -> None:
        self.born = born
        self.held = 0
        self.sent = 0
        self.last_sent = -1
        self.rests = False  # it has come to nothing held, and is to be looked at again


class CountedEvent(Protocol):
    """What usage needs to know of an event."""

    usage: Usage | None
    """Its counters while it is held, which live at least as long; None if it has no units that count."""

    @property
    def customer(self) -> str: ...
    @property
    def product(self) -> str: ...
    @property
    def units(self) -> int: ...
    @property
    def counts(self) -> bool:
        """Its outcome is `success`; the units of others never count against a limit."""


class Pin:
    """The start of one snapshot: how much each product of the customer had been sent by then."""

    __slots__ = ("customer", "sent_at_start", "serial")

    def __init__(self, customer: str, serial: int, sent_at_start: Mapping[str, int]) -> None:
        self.customer = customer
        self.serial = serial
        self.sent_at_start = sent_at_start


class _Products(dict[str, Usage]):
    """One customer: the counters by product, and the pins that keep them alive, oldest first."""

    __slots__ = ("owner", "pins")
    owner: "PendingUsage"
    pins: dict[Pin, None] | None

    def __missing__(self, product: str) -> Usage:
        usage = self[product] = Usage(self.owner.serial)
        return usage


class _Customers(dict[str, _Products]):
    __slots__ = ("owner",)
    owner: "PendingUsage"

    def __missing__(self, customer: str) -> _Products:
        products = self[customer] = _Products()
        products.owner = self.owner
        products.pins = None
        return products


class PendingUsage:
    """Counters live as long as a held event or a pin needs them.

    The last `max_resting` that nobody needs are kept as well: most are needed again at once, and a counter at rest
    changes no answer.
    """

    def __init__(self, max_resting: int = MAX_RESTING) -> None:
        self.serial = 0  # grows with every pin
        self._max_resting = max_resting
        self._resting: deque[tuple[str, str, Usage]] = deque()  # customer, product; each counter once
        self._customers = _Customers()
        self._customers.owner = self

    def __len__(self) -> int:
        """Number of customers with pins or with counters that somebody needs."""
        return sum(
            1
            for products in self._customers.values()
            if products.pins or not all(_is_idle(usage, float("inf")) for usage in products.values())
        )

    def counters_total(self) -> int:
        """Counters in memory, those at rest included."""
        return sum(map(len, self._customers.values()))

    def hold(self, events: Iterable[CountedEvent]) -> None:
        """These events are held from now on; only those that count are counted."""
        customers = self._customers
        for event in events:
            if event.counts and event.units:
                usage = event.usage = customers[event.customer][event.product]
                usage.held += event.units

    def leave(self, events: Iterable[CountedEvent], *, sent: bool) -> None:
        """These events are held no longer; `sent`: each of them left for the provider at least once.

        After an unknown outcome call it no earlier than the provider can still be inserting (2 s): a snapshot
        started before the late insert must not believe that it saw it.
        """
        serial = self.serial
        for event in events:
            usage = event.usage
            if usage is not None:
                event.usage = None
                usage.held -= event.units
                if sent:
                    usage.sent += event.units
                    usage.last_sent = serial
                if not (usage.held or usage.rests):
                    usage.rests = True
                    self._resting.append((event.customer, event.product, usage))
        self._forget_rested()

    def pin(self, customer: str) -> Pin:
        """A snapshot's request starts now; until `unpin` its pending usage can be asked for."""
        self.serial += 1
        products = self._customers[customer]
        pin = Pin(customer, self.serial, {product: usage.sent for product, usage in products.items()})
        if products.pins is None:
            products.pins = {}
        products.pins[pin] = None
        return pin

    def unpin(self, pin: Pin) -> None:
        """The snapshot is gone; counters that only it needed vanish. Once per pin."""
        products = self._customers[pin.customer]
        if products.pins is None or pin not in products.pins:
            raise ValueError("this pin is not in use")
        del products.pins[pin]
        oldest = _oldest(products)
        for product in [name for name, usage in products.items() if _is_idle(usage, oldest)]:
            del products[product]
        self._forget_if_empty(pin.customer, products)

    def pending(self, pin: Pin, product: str) -> int:
        """Units that the snapshot of this pin may not have seen; never negative."""
        products = self._customers.get(pin.customer)
        usage = None if products is None else products.get(product)
        if usage is None:
            return 0  # nothing held, and nothing sent since the pin: see `_is_idle`
        born_later = usage.born >= pin.serial
        return usage.held + usage.sent - (0 if born_later else pin.sent_at_start[product])

    def products_pending(self, pin: Pin) -> dict[str, int]:
        """Product -> pending units, for every product of the pin's customer that has any."""
        every = {product: self.pending(pin, product) for product in self._customers.get(pin.customer, ())}
        return {product: units for product, units in every.items() if units}

    def held(self, customer: str, product: str) -> int:
        """Units held now: all that can be said without a snapshot."""
        products = self._customers.get(customer)
        usage = None if products is None else products.get(product)
        return 0 if usage is None else usage.held

    def _forget_rested(self) -> None:
        """Drop those that have rested longest; one that is needed again, or by a pin, has its turn later."""
        while len(self._resting) > self._max_resting:
            customer, product, usage = self._resting.popleft()
            usage.rests = False
            products = self._customers.get(customer)
            if products is not None and products.get(product) is usage and _is_idle(usage, _oldest(products)):
                del products[product]
                self._forget_if_empty(customer, products)

    def _forget_if_empty(self, customer: str, products: _Products) -> None:
        if not products and not products.pins:
            del self._customers[customer]


def _oldest(products: _Products) -> float:
    """Serial of the oldest pin in use; infinite when there is none."""
    return next(iter(products.pins)).serial if products.pins else float("inf")


def _is_idle(usage: Usage, oldest_pin: float) -> bool:
    """Nothing held, and nothing sent since the oldest pin: every pin would answer 0 with or without it."""
    return usage.held == 0 and usage.last_sent < oldest_pin
