"""Events that the provider refused, and whether that is their own fault.

A refused event is dead-lettered only after another event was accepted in a request that started after its refusal:
then the provider is well and the event is not. When most events are refused, the provider is not well
(a schema bug, another environment): nothing is dead-lettered, billing pauses and single events probe it.

Where that rule sees too little (one customer, many answers before), the acceptance may mean that the provider was
mended: if it is of an event that had been refused, or if very many would be dead-lettered by it, they are tried once
more.
"""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from meter.pipeline.batch import Batch
from meter.pipeline.event import UsageEvent

RECENT_EVENTS = 200
DOUBTFUL_EVENTS = 10
"""So many are not dead-lettered at once without a second try."""
PROBE_SECONDS = 30.0
"""While nothing is accepted or refused, one of those that wait asks this often whether the provider has been fixed."""
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


class Judgement(NamedTuple):
    """What an acceptance tells about those that wait."""

    final: list[Refusal]
    """Their own fault."""
    again: list[Batch]
    """To be tried once more first."""


class Refusals:
    """What waits because it was refused, and the last answers for distinct events."""

    def __init__(self, unknown_customer_wait_seconds: float) -> None:
        self._wait_seconds = unknown_customer_wait_seconds
        self._waiting: dict[str, Refusal] = {}
        self.in_doubt = False
        """Most events were refused, and the provider has not been well since: until `take_all`."""
        self._probe_at = float("inf")
        self._untimed: dict[str, None] = {}  # keys of those that no timer tries again, by their last try
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
        if reason == "unknown_customer":  # for as long as it is not dead-lettered: the customer may be created yet
            retry_at = steady_seconds + self._retry_seconds(steady_seconds - first_at)
            heappush(self._timed, (retry_at, event.key))
            self._judged_from = None
        else:
            self._probe_at = steady_seconds + PROBE_SECONDS
            self._untimed[event.key] = None
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

    def judge(self, *, once_refused: bool = False) -> Judgement:
        """Removes those whose refusal is judged by the last acceptance: of an event that was `once_refused`, or not.

        It was started after their refusal. A customer that stays unknown for the whole wait was refused again and
        again meanwhile; for it an acceptance after the first refusal is enough.
        """
        if self.in_doubt or self._judged_from == self._accepted_from:  # thousands may wait, nobody was accepted since
            return Judgement([], [])
        self._judged_from = self._accepted_from
        judged = [self._drop(one.event.key) for one in self.waiting() if self._is_judged(one)]
        doubtful = [one.batch for one in judged if one.reason != "unknown_customer" and not one.batch.had_second_try]
        if not once_refused and len(doubtful) < DOUBTFUL_EVENTS:
            return Judgement(judged, [])
        for batch in doubtful:
            batch.had_second_try = True
        again = set(map(id, doubtful))
        return Judgement([one for one in judged if id(one.batch) not in again], doubtful)

    def take_due(self, steady_seconds: float) -> Batch | None:
        """An event that is to be tried again by now."""
        if self._next_timed() <= steady_seconds:
            return self._drop(self._timed[0][1]).batch
        if self._next_probe() <= steady_seconds:
            self._probe_at = steady_seconds + PROBE_SECONDS
            return self._drop(next(iter(self._untimed))).batch
        return None

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
        self._untimed.clear()
        self.in_doubt = False
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
        return min(self._next_timed(), self._next_probe())

    def _next_probe(self) -> float:
        return self._probe_at if self._untimed and not self.in_doubt else float("inf")

    def _next_timed(self) -> float:
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

    def _is_judged(self, refusal: Refusal) -> bool:
        if refusal.reason != "unknown_customer":
            return refusal.refused_at < self._accepted_from
        waited = refusal.refused_at - refusal.first_at >= self._wait_seconds
        return waited and refusal.first_at < self._accepted_from

    def _drop(self, key: str) -> Refusal:
        self._untimed.pop(key, None)
        return self._waiting.pop(key)

    def _remember(self, key: str, refused_customer: str | None) -> None:
        self._recent.pop(key, None)
        self._recent[key] = refused_customer
        while len(self._recent) > RECENT_EVENTS:
            del self._recent[next(iter(self._recent))]
