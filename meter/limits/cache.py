"""Answers limits questions: fresh from the provider, cached, stale while it is away, and by policy when nothing helps.

No answer promises more than the provider's last snapshot minus the usage that this process knows about
(`promise.py`); only an answer by policy has no snapshot behind it, and says so.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from meter.billing.limits_outcome import LimitsInvalid, LimitsNotFound, LimitsOutcome
from meter.clock import Clock
from meter.error_bodies import error_body
from meter.limits.flights import Flights, LimitsApi
from meter.limits.prices import Prices
from meter.limits.promise import needs_prices, reduce, rewrite
from meter.limits.question import Key, Question
from meter.limits.snapshots import Snapshot, Snapshots
from meter.pipeline.timestamps import format_utc
from meter.pipeline.usage import PendingUsage
from meter.settings import LimitsSettings

DENIAL_TTL_SECONDS = 1.0
"""A denial is asked for again this soon, so that a top-up works at once."""

PATIENCE_SECONDS = 1.0
"""With a usable snapshot at hand nobody waits longer than this for a slow provider."""

DEADLINE_SECONDS = 10.0
"""Nobody waits longer than this for anything, the wait for his turn included."""

_PRICES_AT_ONCE = 8
"""Prices of other products looked up for one answer; a customer with more of them waits for the next question."""

_ROUNDS = 3
"""How often an answer starts over because the world changed while it waited."""

_SHORTEST_SWEEP_SECONDS = 1.0
"""Snapshots that serve nobody but those who asked for them are not worth looking for more often."""

_SWEPT_AT_ONCE = 200
"""Snapshots dropped in one slice of the loop: well under a millisecond."""


class Answer(NamedTuple):
    """Status and body for the caller; `source` is `fresh`, `cached`, `stale` or `policy`."""

    status: int
    body: Mapping[str, Any]
    source: str


class LimitsCache:
    """One per process, in its event loop; `usage` is what the pipeline keeps up to date."""

    def __init__(
        self,
        api: LimitsApi,
        usage: PendingUsage,
        clock: Clock,
        settings: LimitsSettings,
        observe: Callable[[str, float], None] = lambda source, seconds: None,
        patience_seconds: float = PATIENCE_SECONDS,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._usage = usage
        self._clock = clock
        self._settings = settings
        self._observe = observe  # source, seconds it took
        self._patience_seconds = min(patience_seconds, deadline_seconds / 2)
        self._deadline_seconds = deadline_seconds
        self._usable_seconds = max(settings.ttl_seconds, settings.max_stale_seconds)
        self._snapshots = Snapshots(usage, settings.max_entries)
        self._prices = Prices(settings.max_entries)
        self._flights = Flights(api, usage, clock, self._snapshots, self._prices, self._landed)
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Entries, running requests included; never more than `limits.max_entries`."""
        return len(self._snapshots)

    async def answer(self, question: Question) -> Answer:
        """The provider's answer with what it has not seen yet taken off, and where it came from."""
        started = self._clock.now().steady_seconds
        try:
            async with asyncio.timeout(self._deadline_seconds):
                answer = await (self._answer_alone(question) if question.checkout_session else self._answer(question))
        except TimeoutError:
            answer = self._by_policy(question)
        self._observe(answer.source, self._clock.now().steady_seconds - started)
        return answer

    async def close(self) -> None:
        """Ends running requests; their callers get an answer by policy or an older one."""
        if self._sweep is not None:
            self._sweep.cancel()
        await self._flights.close()

    def forget_expired(self) -> None:
        """Drops snapshots too old for any answer, a few at a time; runs by itself while there are any."""
        oldest = self._clock.now().steady_seconds - self._usable_seconds
        more = self._snapshots.forget_older(oldest, _SWEPT_AT_ONCE)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if len(self._snapshots):
            self._sweep_in(0.01 if more else self._sweep_seconds())

    async def _answer(self, question: Question) -> Answer:
        for _ in range(_ROUNDS):
            known = self._usable(question.key)
            if known is not None and self._age(known) <= self._settings.ttl_seconds:
                answer = await self._promised(question, known, "cached")
                if answer is not None and (_allows(answer) or self._age(known) <= DENIAL_TTL_SECONDS):
                    return answer
            outcome = await self._flights.ask(question, None if known is None else self._patience_seconds)
            if isinstance(outcome, LimitsNotFound | LimitsInvalid):
                return _passed_on(outcome)
            answer = await self._from_outcome(question, outcome)
            if answer is not None:
                return answer
        return self._by_policy(question)

    async def _from_outcome(self, question: Question, outcome: Snapshot | LimitsOutcome) -> Answer | None:
        """None: the snapshot was dropped before its turn came."""
        if isinstance(outcome, Snapshot):
            return await self._promised(question, outcome, "fresh")
        known = self._usable(question.key)
        if known is None:
            return self._by_policy(question)
        return await self._promised(question, known, self._source(known))

    async def _answer_alone(self, question: Question) -> Answer:
        """With a checkout session: asked for this caller alone, neither taken from the cache nor put there."""
        async with self._flights.alone(question) as outcome:
            if isinstance(outcome, LimitsNotFound | LimitsInvalid):
                return _passed_on(outcome)
            return await self._from_outcome(question, outcome) or self._by_policy(question)

    def _usable(self, key: Key) -> Snapshot | None:
        snapshot = self._snapshots.find(key)
        return snapshot if snapshot is not None and self._age(snapshot) <= self._usable_seconds else None

    def _age(self, snapshot: Snapshot) -> float:
        return self._clock.now().steady_seconds - snapshot.at_steady_seconds

    def _source(self, snapshot: Snapshot) -> str:
        return "cached" if self._age(snapshot) <= self._settings.ttl_seconds else "stale"

    async def _promised(self, question: Question, snapshot: Snapshot, source: str) -> Answer | None:
        """The snapshot minus what is pending; by policy while a price is not to be had; None: it was dropped."""
        for _ in range(_ROUNDS):
            if snapshot.is_dropped:
                return None
            if not needs_prices(snapshot.numbers):
                return self._reduced(question, snapshot, 0, source)
            pending = self._usage.products_pending(snapshot.pin)
            now_seconds = self._clock.now().steady_seconds
            price = snapshot.numbers.credits_per_unit
            own = {question.product: price or 0}
            in_credits, unknown = self._prices.credits(question.customer, pending, own, now_seconds)
            if not unknown and (price is not None or not in_credits):
                return self._reduced(question, snapshot, in_credits, source)
            if not unknown or not await self._look_up(question.customer, unknown):
                break
        return self._by_policy(question)

    def _reduced(self, question: Question, snapshot: Snapshot, pending_credits: float, source: str) -> Answer:
        pending_units = self._usage.pending(snapshot.pin, question.product)
        promise = reduce(snapshot.numbers, pending_units, pending_credits)
        meter = {
            "pendingUnits": pending_units,
            "providerRemaining": snapshot.numbers.remaining,
            "asOf": format_utc(snapshot.at_wall_seconds),
            "source": source,
        }
        return Answer(200, rewrite(snapshot.body, promise, meter), source)

    def _by_policy(self, question: Question) -> Answer:
        """Neither provider nor snapshot: nothing is promised but what the operator chose."""
        held = self._usage.held(question.customer, question.product)
        meter = {"pendingUnits": held, "providerRemaining": None, "asOf": None, "source": "policy"}
        allowed = self._settings.on_unavailable == "allow"
        return Answer(200, {"withinLimits": allowed, "remaining": 0, "meter": meter}, "policy")

    async def _look_up(self, customer: str, products: list[str]) -> bool:
        """Ask for the prices of these products; False when one is not to be had now."""
        asked = [self._price_found(customer, product) for product in products[:_PRICES_AT_ONCE]]
        return all(await asyncio.gather(*asked))

    async def _price_found(self, customer: str, product: str) -> bool:
        outcome = await self._flights.ask(Question(customer, product), None)
        price: float | None = None
        if isinstance(outcome, Snapshot):
            price = outcome.numbers.credits_per_unit
        elif isinstance(outcome, LimitsNotFound):
            price = 0  # what nobody can buy takes no credits
        if price is not None:
            self._prices.remember(customer, product, price, self._clock.now().steady_seconds)
        return price is not None

    def _landed(self) -> None:
        if self._sweep is None:
            self._sweep_in(self._sweep_seconds())

    def _sweep_seconds(self) -> float:
        return max(self._usable_seconds, _SHORTEST_SWEEP_SECONDS)

    def _sweep_in(self, seconds: float) -> None:
        self._sweep = asyncio.get_running_loop().call_later(seconds, self.forget_expired)


def _passed_on(outcome: LimitsNotFound | LimitsInvalid) -> Answer:
    """The provider's refusal of the question itself."""
    status = 404 if isinstance(outcome, LimitsNotFound) else 400
    return Answer(status, error_body(status, outcome.detail), "fresh")


def _allows(answer: Answer) -> bool:
    return bool(answer.body["withinLimits"])
