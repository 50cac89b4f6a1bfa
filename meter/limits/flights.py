"""Questions on their way to the provider: one per key, few at a time, and none while it wants to be left alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from meter.billing.limits_outcome import (
    LimitsAnswer,
    LimitsInvalid,
    LimitsNotFound,
    LimitsOutcome,
    LimitsUnavailable,
)
from meter.clock import Clock, Now
from meter.limits.prices import Prices
from meter.limits.promise import read
from meter.limits.question import Key, Question
from meter.limits.snapshots import Snapshot, Snapshots
from meter.pipeline.retry import RETRY_AFTER_LIMIT_SECONDS
from meter.pipeline.usage import PendingUsage, Pin

REQUESTS_AT_ONCE = 16
"""Further ones wait; usage, which goes first, has connections of its own."""


class LimitsApi(Protocol):
    """The provider, as far as limits go."""

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        """Ask once; raises nothing but CancelledError."""


class _Flight:
    """One question on its way, and how many wait for its answer."""

    def __init__(self) -> None:
        self.has_room = False
        self.has_landed = False
        self.waiting = 0
        self.asking: asyncio.Task[Snapshot | LimitsOutcome]


class Flights:
    """Whoever asks for a key that is asked for already waits with the others."""

    def __init__(
        self,
        api: LimitsApi,
        usage: PendingUsage,
        clock: Clock,
        snapshots: Snapshots,
        prices: Prices,
        landed: Callable[[], None],
    ) -> None:
        self._api = api
        self._usage = usage
        self._clock = clock
        self._snapshots = snapshots
        self._prices = prices
        self._told_landed = landed
        self._flights: dict[Key, _Flight] = {}
        self._room = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._not_before = float("-inf")

    async def ask(self, question: Question, patience_seconds: float | None) -> Snapshot | LimitsOutcome:
        """The provider's answer, from the request under way for this key if there is one.

        A caller who goes away, or runs out of patience, does not end a request, whose answer serves the next one; but
        what nobody waits for any more is not begun.
        """
        flight = self._flights.get(question.key)
        if flight is None:
            if self._is_to_wait():
                return _LEFT_ALONE
            if not self._snapshots.begin(question.key):
                return LimitsUnavailable("too many requests are under way")
            flight = self._begin(question)
        flight.waiting += 1
        try:
            await asyncio.wait((flight.asking,), timeout=patience_seconds)
        finally:
            flight.waiting -= 1
            self._left(question.key, flight)
        if not flight.asking.done() or flight.asking.cancelled():
            return LimitsUnavailable("no answer in time")
        return flight.asking.result()

    @asynccontextmanager
    async def alone(self, question: Question) -> AsyncIterator[Snapshot | LimitsOutcome]:
        """The provider's answer for this caller and nobody else; a snapshot counts within the block only."""
        outcome = await self._asked(question, _Flight())
        try:
            yield outcome
        finally:
            if isinstance(outcome, Snapshot):
                self._usage.unpin(outcome.pin)

    async def close(self) -> None:
        """Ends what is under way; who waits for it has no answer."""
        asking = [flight.asking for flight in self._flights.values()]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _begin(self, question: Question) -> _Flight:
        flight = _Flight()
        flight.asking = asyncio.create_task(self._fetch(question, flight))
        flight.asking.add_done_callback(lambda _: self._landed(question.key, flight))
        self._flights[question.key] = flight
        return flight

    async def _fetch(self, question: Question, flight: _Flight) -> Snapshot | LimitsOutcome:
        outcome = await self._asked(question, flight)
        if isinstance(outcome, Snapshot):
            self._snapshots.store(question.key, outcome)
            numbers = outcome.numbers
            if numbers.credit_balance is not None and numbers.credits_per_unit is not None:
                price = numbers.credits_per_unit
                self._prices.remember(question.customer, question.product, price, outcome.at_steady_seconds)
        elif isinstance(outcome, LimitsNotFound | LimitsInvalid):
            self._snapshots.forget(question.key)
        return outcome

    async def _asked(self, question: Question, flight: _Flight) -> Snapshot | LimitsOutcome:
        """One request, as soon as there is room; a snapshot has a pin that whoever gets it must let go."""
        async with self._room:
            flight.has_room = True
            if self._is_to_wait():
                return _LEFT_ALONE
            now, pin = self._clock.now(), self._usage.pin(question.customer)
            snapshot: Snapshot | None = None
            try:
                outcome = await self._api.check_limits(question.request())
                snapshot = _snapshot(outcome, pin, now)
            finally:
                if snapshot is None:
                    self._usage.unpin(pin)
        self._heed(outcome)
        return snapshot or outcome

    def _heed(self, outcome: LimitsOutcome) -> None:
        """`Retry-After` holds for all questions: it is the key that has asked too much, or the provider is away."""
        if isinstance(outcome, LimitsUnavailable) and outcome.retry_after_seconds is not None:
            wait_seconds = min(outcome.retry_after_seconds, RETRY_AFTER_LIMIT_SECONDS)
            self._not_before = max(self._not_before, self._clock.now().steady_seconds + wait_seconds)

    def _is_to_wait(self) -> bool:
        return self._clock.now().steady_seconds < self._not_before

    def _left(self, key: Key, flight: _Flight) -> None:
        """One who waited has gone."""
        if flight.waiting:
            return
        if flight.has_landed:
            self._snapshots.end(key)
        elif not flight.has_room:
            self._take_off(key, flight)
            flight.asking.cancel()

    def _landed(self, key: Key, flight: _Flight) -> None:
        """Its snapshot may be dropped as soon as those who wait for it have read it."""
        flight.has_landed = True
        self._take_off(key, flight)
        if not flight.waiting:
            self._snapshots.end(key)
        self._told_landed()

    def _take_off(self, key: Key, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


_LEFT_ALONE = LimitsUnavailable("the provider wants to be asked later")


def _snapshot(outcome: LimitsOutcome, pin: Pin, now: Now) -> Snapshot | None:
    """What can be promised from; None when the outcome is no answer."""
    if not isinstance(outcome, LimitsAnswer):
        return None
    numbers = read(outcome.body)
    if numbers is None:
        return None
    return Snapshot(msgspec.json.encode(outcome.body), numbers, pin, now.steady_seconds, now.wall_seconds)
