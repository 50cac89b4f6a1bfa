"""How many requests may be in flight: all while the provider is well, one at a time while it is not.

Nothing is sent before `opens_at`. A provider that fails gets single requests until one succeeds; one that
refuses us altogether (key, address, or most events) gets single probes, and the reason stands in the status.
"""

from typing import Literal

from meter.pipeline.retry import Chance, backoff_seconds, retry_seconds

MASS_REFUSAL = "mass_refusal"
PROBE_LIMIT_SECONDS = 10.0

BillingState = Literal["ok", "retrying", "paused"]


class Gate:
    """The provider as we have come to know it."""

    def __init__(self, max_in_flight: int, chance: Chance) -> None:
        self._max_in_flight = max_in_flight
        self._chance = chance
        self._failures = 0
        self.paused: str | None = None
        """Why nothing but probes is sent, or None."""
        self.detail = ""
        """What the provider said last when it failed."""
        self.opens_at = 0.0

    def state(self) -> BillingState:
        """What an operator is told."""
        if self.paused:
            return "paused"
        return "retrying" if self._failures else "ok"

    def limit(self) -> int:
        """How many requests may be in flight."""
        return 1 if self._failures else self._max_in_flight

    def accepted(self) -> None:
        """An event was accepted: whatever it was, it is over."""
        self._failures = 0
        self.paused = None
        self.detail = ""
        self.opens_at = 0.0

    def understood(self) -> None:
        """The provider answered for the events themselves: it is there and knows us, but may refuse most of them."""
        if self.paused != MASS_REFUSAL:
            self.accepted()

    def failed(self, detail: str, retry_after_seconds: float | None, steady_seconds: float) -> None:
        """A request failed for a reason that may pass by itself."""
        self._failures += 1
        self.detail = detail
        wait = retry_seconds(
            self._failures, self._chance, outcome_unknown=False, retry_after_seconds=retry_after_seconds
        )
        self.opens_at = max(self.opens_at, steady_seconds + wait)

    def pause(self, reason: str, detail: str, steady_seconds: float) -> bool:
        """Only probes from now on; True when that is news."""
        news = self.paused != reason
        self._failures += 1
        self.paused, self.detail = reason, detail
        wait = 0.25 + backoff_seconds(self._failures, self._chance, limit_seconds=PROBE_LIMIT_SECONDS)
        self.opens_at = max(self.opens_at, steady_seconds + wait)
        return news
