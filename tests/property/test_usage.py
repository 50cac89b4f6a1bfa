"""Pending usage against a plain model: a full history for every pin, nothing ever forgotten."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from meter.pipeline.usage import PendingUsage, Pin
from tests.builders import Counted

CUSTOMERS = st.sampled_from(["cus_1", "cus_2"])
PRODUCTS = st.sampled_from(["", "prd_1", "prd_2"])


class Usage(RuleBasedStateMachine):
    """Any order of held, left and pinned: pending is what is held plus what was sent since the pin."""

    events = Bundle("events")
    pins = Bundle("pins")

    def __init__(self) -> None:
        super().__init__()
        self.usage = PendingUsage(max_resting=1)
        self.held: dict[Counted, int] = {}
        self.sent_since: dict[Pin, Counter[str]] = {}

    @rule(target=events, customer=CUSTOMERS, product=PRODUCTS, units=st.integers(0, 5))
    def hold(self, customer: str, product: str, units: int) -> Counted:
        event = Counted(customer, product, units)
        self.usage.hold([event])
        self.held[event] = units
        return event

    @rule(event=consumes(events), sent=st.booleans())
    def leave(self, event: Counted, sent: bool) -> None:
        self.usage.leave([event], sent=sent)
        del self.held[event]
        for pin, since in self.sent_since.items():
            if sent and pin.customer == event.customer:
                since[event.product] += event.units

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
                held = [n for one, n in self.held.items() if (one.customer, one.product) == (pin.customer, product)]
                expected = sum(held) + since[product]
                assert self.usage.pending(pin, product) == expected

    def teardown(self) -> None:
        """Once everything has left and every pin is gone, nobody needs a counter, and one at most is kept."""
        for pin in self.sent_since:
            self.usage.unpin(pin)
        self.usage.leave(self.held, sent=True)
        assert len(self.usage) == 0
        assert self.usage.counters_total() <= 1


TestUsage = Usage.TestCase
