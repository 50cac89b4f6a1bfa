"""Events that the provider refused, and whether that is their own fault.

A refused event is parked only after another event was accepted in a request that started after its refusal:
then the provider is well and the event is not. When most events are refused, the provider is not well
(a schema bug, another environment): nothing is parked, billing pauses and single events probe it.
"""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from meter.pipeline.batch import Batch
from meter.pipeline.event import UsageEvent

RECENT_EVENTS = 200
Reason = Literal["rejected", "too_large", "unknown_customer"]


class Refusal(NamedTuple):
    """One refused event, alone in its batch."""

    batch: Batch
    reason: Reason
    detail: str
    refused_at: float  # steady seconds
    first_at: float  # when it was refused for the first time
    retry_at: float  # infinity: not tried again by itself

    @property
    def event(self) -> UsageEvent:
        """The event."""
        return self.batch.events[0]


class Refusals:
    """What waits because it was refused, and the last answers for distinct events."""

    def __init__(self, unknown_customer_wait_seconds: float) -> None:
        self._wait_seconds = unknown_customer_wait_seconds
        self._waiting: dict[str, Refusal] = {}
        self._timed: list[tuple[float, str]] = []  # (retry_at, key), the earliest first; also of some that are gone
        self._accepted_from = float("-inf")  # the latest start of a request in which an event was accepted
        self._judged_from: float | None = None  # up to there everything that waits was judged
        self._recent: dict[str, str | None] = {}  # key -> the customer if refused, None if accepted

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, batch: Batch, reason: Reason, detail: str, steady_seconds: float) -> None:
        """The only event of `batch` was refused now."""
        event = batch.events[0]
        first_at = steady_seconds if batch.first_refused_at is None else batch.first_refused_at
        batch.first_refused_at, batch.refused_as = first_at, reason
        retry_at = float("inf")
        if reason == "unknown_customer":  # for as long as it is not parked: the customer may be created yet
            retry_at = steady_seconds + self._retry_seconds(steady_seconds - first_at)
            heappush(self._timed, (retry_at, event.key))
            self._judged_from = None
        self._waiting[event.key] = Refusal(batch, reason, detail, steady_seconds, first_at, retry_at)
        self._remember(event.key, event.customer)

    def accepted(self, events: Sequence[UsageEvent], started_at: float) -> None:
        """These events were accepted, in a request that was started then."""
        self._accepted_from = max(self._accepted_from, started_at)
        keys = [event.key for event in events[-RECENT_EVENTS:]]
        if len(keys) == RECENT_EVENTS:
            self._recent.clear()  # each of them is distinct: nothing older is recent any more
        for key in keys:
            self._remember(key, None)

    def has_accepted_since(self, steady_seconds: float) -> bool:
        """An event was accepted in a request that was started after this."""
        return self._accepted_from > steady_seconds

    def is_mass(self) -> bool:
        """Over half of the recent distinct events were refused, from at least two customers."""
        refused = [customer for customer in self._recent.values() if customer is not None]
        return len(refused) * 2 > len(self._recent) and len(set(refused)) > 1

    def take_parkable(self) -> list[Refusal]:
        """Refusals that are the event's own fault: another one was accepted in a request started after them.

        A customer that stays unknown for the whole wait was refused again and again meanwhile; for it an
        acceptance after the first refusal is enough.
        """
        if self._judged_from == self._accepted_from:  # thousands may wait, and nobody was accepted since
            return []
        self._judged_from = self._accepted_from
        parkable = [refusal for refusal in self._waiting.values() if self._is_parkable(refusal)]
        for refusal in parkable:
            self._drop(refusal.event.key)
        return parkable

    def take_due(self, steady_seconds: float) -> Batch | None:
        """An event that is to be tried again by now."""
        return self._drop(self._timed[0][1]).batch if self.next_due() <= steady_seconds else None

    def take_probe(self) -> Batch | None:
        """The event that has waited longest since its last try."""
        oldest = next(iter(self._waiting), None)
        return None if oldest is None else self._drop(oldest).batch

    def take_all(self) -> list[Batch]:
        """Everything that waits, to be tried again; its refusals are forgotten, acceptances are not."""
        batches = [refusal.batch for refusal in self._waiting.values()]
        for batch in batches:
            batch.first_refused_at = None
        self._waiting.clear()
        self._recent = {key: None for key, customer in self._recent.items() if customer is None}
        return batches

    def waiting(self) -> list[Refusal]:
        """Everything that waits."""
        return list(self._waiting.values())

    def take_where(self, is_meant: Callable[[Refusal], bool]) -> list[Refusal]:
        """Removes and returns those that are meant."""
        meant = [refusal for refusal in self._waiting.values() if is_meant(refusal)]
        return [self._drop(refusal.event.key) for refusal in meant]

    def discard(self, epochs: frozenset[int]) -> list[UsageEvent]:
        """Removes and returns the events of these assignments."""
        gone = [refusal.event for refusal in self._waiting.values() if refusal.event.epoch in epochs]
        for event in gone:
            self._drop(event.key)
        return gone

    def next_due(self) -> float:
        """When the next event is to be tried again."""
        while self._timed:
            retry_at, key = self._timed[0]
            refusal = self._waiting.get(key)
            if refusal is not None and refusal.retry_at == retry_at:
                return retry_at
            heappop(self._timed)
        return float("inf")

    def _retry_seconds(self, waited_seconds: float) -> float:
        left = self._wait_seconds - waited_seconds
        step = min(max(1.0, waited_seconds), 30.0)
        return min(step, max(0.1, left)) if left > 0 else step

    def _is_parkable(self, refusal: Refusal) -> bool:
        if refusal.reason != "unknown_customer":
            return refusal.refused_at < self._accepted_from
        waited = refusal.refused_at - refusal.first_at >= self._wait_seconds
        return waited and refusal.first_at < self._accepted_from

    def _drop(self, key: str) -> Refusal:
        return self._waiting.pop(key)

    def _remember(self, key: str, refused_customer: str | None) -> None:
        self._recent.pop(key, None)
        self._recent[key] = refused_customer
        while len(self._recent) > RECENT_EVENTS:
            del self._recent[next(iter(self._recent))]
