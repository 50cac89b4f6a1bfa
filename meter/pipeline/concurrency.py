"""How many requests may be in flight, and how large: as the provider bears, one at a time while it is not well.

The number adapts as TCP does: every accepted request adds a little, every sign of too much (a failure, an answer
that took far longer than usual) takes half away, once for all requests that were under way together. The size of a
body adapts likewise, by what is refused as too large.

Nothing is sent before `opens_at`. A provider that fails gets single requests until one succeeds; one that
refuses us altogether (key, address, or most events) gets single probes, and the reason stands in the status.
"""

from typing import Literal

from meter.pipeline.retry import Chance, backoff_seconds, retry_seconds

MASS_REFUSAL = "mass_refusal"
PROBE_LIMIT_SECONDS = 10.0
MIN_BODY_BYTES = 2_000
"""Below this bodies shrink no further: it would be one event, or the provider's mistake."""
BODY_GROWTH = 1.05
SLOW_SECONDS = 0.5
"""An answer within this is never too slow, however quick the ones before it: batches differ in size."""
SLOW_RATIO = 2.0
USUAL_WEIGHT = 0.1
"""What one answer adds to what is usual; a provider that stays slower becomes usual, and gets more again."""

BillingState = Literal["ok", "retrying", "paused"]


class Gate:
    """The provider as we have come to know it."""

    def __init__(self, max_in_flight: int, max_body_bytes: int, chance: Chance) -> None:
        self._max_in_flight = max_in_flight
        self._max_body_bytes = max_body_bytes
        self._bearable_bytes = float(max_body_bytes)
        self._chance = chance
        self.failures = 0
        """One after the other, since it was last known to be well."""
        self._failed_at = float("-inf")
        self._bearable = float(max_in_flight)
        self._reduced_at = float("-inf")
        self._usual_seconds: float | None = None
        self.paused: str | None = None
        """Why nothing but probes is sent, or None."""
        self.detail = ""
        """What the provider said last when it failed."""
        self.opens_at = 0.0

    def state(self) -> BillingState:
        """What an operator is told."""
        if self.paused:
            return "paused"
        return "retrying" if self.failures else "ok"

    def limit(self) -> int:
        """How many requests may be in flight."""
        return 1 if self.failures else int(self._bearable)

    def max_body_bytes(self) -> int:
        """How large a new body may be."""
        return int(self._bearable_bytes)

    def too_large(self, body_bytes: int) -> None:
        """A body of this size was refused as too large."""
        self._bearable_bytes = max(MIN_BODY_BYTES, min(self._bearable_bytes, body_bytes / 2))

    def accepted(self, started_at: float, steady_seconds: float) -> bool:
        """The events of a request were accepted; True if whatever it was is over.

        What was under way before the trouble began says nothing about it. Only a mass refusal is over with any
        acceptance: it is about events, and those may differ.
        """
        is_well = started_at >= self._failed_at or self.paused == MASS_REFUSAL
        if is_well:
            self._recover()
        self._bearable_bytes = min(self._max_body_bytes, self._bearable_bytes * BODY_GROWTH)
        took_seconds = steady_seconds - started_at
        usual = self._usual_seconds or took_seconds
        self._usual_seconds = usual + USUAL_WEIGHT * (took_seconds - usual)
        if took_seconds > max(SLOW_SECONDS, SLOW_RATIO * usual):
            self._reduce(started_at, steady_seconds)
        else:
            self._bearable = min(self._max_in_flight, self._bearable + 1.0 / self._bearable)
        return is_well

    def understood(self, started_at: float) -> None:
        """The provider answered for the events themselves: it is there and knows us, but may refuse most of them."""
        if self.paused != MASS_REFUSAL and started_at >= self._failed_at:
            self._recover()

    def failed(self, detail: str, retry_after_seconds: float | None, started_at: float, steady_seconds: float) -> None:
        """A request failed for a reason that may pass by itself."""
        self._note_failure(started_at, steady_seconds)
        self._reduce(started_at, steady_seconds)
        self.detail = detail
        wait = retry_seconds(
            self.failures, self._chance, outcome_unknown=False, retry_after_seconds=retry_after_seconds
        )
        self.opens_at = max(self.opens_at, steady_seconds + wait)

    def pause(self, reason: str, detail: str, started_at: float, steady_seconds: float) -> None:
        """Only probes from now on, for what a request was told that was started then."""
        self._note_failure(started_at, steady_seconds)
        self.paused, self.detail = reason, detail
        wait = 0.25 + backoff_seconds(self.failures, self._chance, limit_seconds=PROBE_LIMIT_SECONDS)
        self.opens_at = max(self.opens_at, steady_seconds + wait)

    def _note_failure(self, started_at: float, steady_seconds: float) -> None:
        if started_at >= self._failed_at:  # those that were under way together count once
            self.failures += 1
        self._failed_at = steady_seconds

    def _recover(self) -> None:
        self.failures = 0
        self.paused = None
        self.detail = ""
        self.opens_at = 0.0

    def _reduce(self, started_at: float, steady_seconds: float) -> None:
        if started_at >= self._reduced_at:  # what was under way then says nothing about what is borne now
            self._bearable = max(1.0, self._bearable / 2)
            self._reduced_at = steady_seconds
