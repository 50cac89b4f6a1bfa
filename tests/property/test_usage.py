"""Pending usage against a plain model: a full history for every pin, nothing ever forgotten."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from meter.pipeline.usage import PendingUsage, Pin

CUSTOMERS = st.sampled_from(["cus_1", "cus_2"])
PRODUCTS = st.sampled_from(["", "prd_1", "prd_2"])


class Usage(RuleBasedStateMachine):
    """Any order of held, left and pinned: pending is what is held plus what was sent since the pin."""

    events = Bundle("events")
    pins = Bundle("pins")

    def __init__(self) -> None:
        super().__init__()
        self.usage = PendingUsage(max_resting=1)
        self.held: Counter[tuple[str, str]] = Counter()
        self.sent_since: dict[Pin, Counter[str]] = {}

    @rule(target=events, customer=CUSTOMERS, product=PRODUCTS, units=st.integers(0, 5))
    def hold(self, customer: str, product: str, units: int) -> tuple[str, str, int]:
        self.usage.hold(customer, product, units)
        self.held[customer, product] += units
        return customer, product, units

    @rule(event=consumes(events), sent=st.booleans())
    def leave(self, event: tuple[str, str, int], sent: bool) -> None:
        customer, product, units = event
        self.usage.leave(customer, product, units, sent=sent)
        self.held[customer, product] -= units
        for pin, since in self.sent_since.items():
            if sent and pin.customer == customer:
                since[product] += units

    @rule(target=pins, customer=CUSTOMERS)
    def pin(self, customer: str) -> Pin:
        pin = self.usage.pin(customer)
        self.sent_since[pin] = Counter()
        return pin

    @rule(target=pins, pin=consumes(pins))
    def unpin(self, pin: Pin) -> object:
        self.usage.unpin(pin)
        del self.sent_since[pin]
        return multiple()

    @invariant()
    def pending_is_held_plus_sent_since_the_pin(self) -> None:
        for pin, since in self.sent_since.items():
            for product in ("", "prd_1", "prd_2"):
                expected = self.held[pin.customer, product] + since[product]
                assert self.usage.pending(pin, product) == expected

    def teardown(self) -> None:
        """Once everything has left and every pin is gone, nobody needs a counter, and one at most is kept."""
        for pin in self.sent_since:
            self.usage.unpin(pin)
        for (customer, product), units in self.held.items():
            self.usage.leave(customer, product, units, sent=True)
        assert len(self.usage) == 0
        assert self.usage.counters_total() <= 1


TestUsage = Usage.TestCase
