"""Invariant 9: an answer never promises more than there really is, whatever happens in whatever order.

A model provider counts what was inserted; requests look at its numbers at any moment between being asked and
answering; events are held, inserted, and leave, before, between and after.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meter.billing.limits_outcome import LimitsAnswer, LimitsOutcome, LimitsUnavailable
from meter.clock import Now
from meter.limits import Answer, LimitsCache, Question
from meter.pipeline.usage import PendingUsage
from meter.settings import LimitsSettings
from tests.builders import Counted

CUSTOMER = "cus_1"
PRICES = {"prepaid_10": 10, "prepaid_3": 3}  # these two draw on the same credits
PRODUCTS = ["limited", *PRICES]


@dataclass(eq=False)
class Event(Counted):
    """One event on its way."""

    is_inserted: bool = False


class Request(NamedTuple):
    """One that waits for its answer, and what the provider's numbers were when it came."""

    product: str
    at_start: dict[str, object]
    answer: asyncio.Future[LimitsOutcome]


@dataclass
class Provider:
    """What the provider has counted, and the requests that wait for its answer."""

    allowance: int = 50
    credits: int = 500
    is_gone: bool = False
    waiting: list[Request] = field(default_factory=list)

    def insert(self, event: Event) -> None:
        event.is_inserted = True
        if event.product == "limited":
            self.allowance -= event.units
        else:
            self.credits -= event.units * PRICES[event.product]

    def look(self, product: str) -> dict[str, object]:
        """The answer as of now."""
        if product == "limited":
            return {"withinLimits": self.allowance > 0, "remaining": self.allowance}
        remaining = self.credits // PRICES[product]
        credit = {"creditBalance": self.credits, "creditsPerUnit": PRICES[product]}
        return {"withinLimits": remaining > 0, "remaining": remaining, **credit}

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        if self.is_gone:
            return LimitsUnavailable("gone")
        answer: asyncio.Future[LimitsOutcome] = asyncio.get_running_loop().create_future()
        product = str(request["productRef"])
        self.waiting.append(Request(product, self.look(product), answer))
        return await answer


@dataclass
class Time:
    """A clock that the test moves."""

    seconds: float = 0.0

    def now(self) -> Now:
        return Now(self.seconds, self.seconds)


class Limits(RuleBasedStateMachine):
    """Everything that may happen, one step at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.provider, self.usage, self.time = Provider(), PendingUsage(), Time()
        self.cache = LimitsCache(self.provider, self.usage, self.time, LimitsSettings(max_entries=2))
        self.held: list[Event] = []
        self.asking: list[asyncio.Task[Answer]] = []
        self.wrong: list[str] = []

    @rule(product=st.sampled_from(PRODUCTS), units=st.integers(0, 6))
    def hold(self, product: str, units: int) -> None:
        event = Event(CUSTOMER, product, units)
        self.usage.hold([event])
        self.held.append(event)

    @rule(product=st.sampled_from(PRODUCTS), units=st.integers(1, 6))
    def bill(self, product: str, units: int) -> None:
        event = Event(CUSTOMER, product, units)
        self.usage.hold([event])
        self.provider.insert(event)
        self.usage.leave([event], sent=True)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def insert(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.held))
        if not event.is_inserted:
            self.provider.insert(event)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), was_sent=st.booleans())
    def leave(self, data: st.DataObject, was_sent: bool) -> None:
        event = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.usage.leave([event], sent=was_sent or event.is_inserted)

    @rule(product=st.sampled_from(PRODUCTS), is_alone=st.sampled_from([False, False, False, True]))
    def ask(self, product: str, is_alone: bool) -> None:
        question = Question(CUSTOMER, product, checkout_session=is_alone)
        self.asking.append(self.loop.create_task(self._checked(question)))
        self._settle()

    @rule(product=st.sampled_from(PRODUCTS))
    def ask_and_be_answered(self, product: str) -> None:
        self.ask(product, is_alone=False)
        while self.provider.waiting:
            self._respond(self.provider.waiting.pop(), sees_start=True)

    @precondition(lambda self: self.provider.waiting)
    @rule(data=st.data(), sees_start=st.booleans(), is_away=st.sampled_from([False, False, False, True]))
    def respond(self, data: st.DataObject, sees_start: bool, is_away: bool) -> None:
        request = data.draw(st.sampled_from(self.provider.waiting))
        self.provider.waiting.remove(request)
        self._respond(request, sees_start, is_away)

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def go_away(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.asking)).cancel()
        self._settle()

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        self.time.seconds += seconds
        self.loop.run_until_complete(self._forget_expired())
        self._settle()

    @rule(units=st.integers(1, 10))
    def top_up(self, units: int) -> None:
        self.provider.allowance += units
        self.provider.credits += units * 7

    @invariant()
    def no_answer_promised_more_than_there_is(self) -> None:
        assert self.wrong == []

    @invariant()
    def entries_are_bounded(self) -> None:
        assert len(self.cache) <= 2

    def teardown(self) -> None:
        """When everything is over nothing is kept, neither entry nor counter."""
        self.provider.is_gone = True
        for request in self.provider.waiting:
            self._respond(request, is_away=True)
        self.usage.leave(self.held, sent=True)
        self.time.seconds += 1000
        self.loop.run_until_complete(self._forget_expired())
        self.loop.run_until_complete(self.cache.close())
        self.loop.close()
        assert (self.asking, len(self.cache), len(self.usage)) == ([], 0, 0)

    def _respond(self, request: Request, sees_start: bool = False, is_away: bool = False) -> None:
        body = request.at_start if sees_start else self.provider.look(request.product)
        if not request.answer.done():
            request.answer.set_result(LimitsUnavailable("away") if is_away else LimitsAnswer(body))
        self._settle()

    async def _forget_expired(self) -> None:
        self.cache.forget_expired()

    async def _checked(self, question: Question) -> Answer:
        answer = await self.cache.answer(question)
        promised, really = answer.body["remaining"], max(self._really_left(question.product), 0)
        if answer.source != "policy" and promised > really:
            self.wrong.append(f"{question.product}: promised {promised} of {really} ({answer.source})")
        if answer.source == "policy" and promised != 0:
            self.wrong.append(f"a policy promised {promised}")
        return answer

    def _really_left(self, product: str) -> int:
        """What the provider has, minus what this process holds and the provider does not have yet."""
        outside = [event for event in self.held if not event.is_inserted]
        if product == "limited":
            return self.provider.allowance - sum(event.units for event in outside if event.product == product)
        owed = sum(event.units * PRICES.get(event.product, 0) for event in outside)
        return (self.provider.credits - owed) // PRICES[product]

    def _settle(self) -> None:
        """Let every task go as far as it can."""
        for _ in range(30):
            self.loop.run_until_complete(asyncio.sleep(0))
        self.asking = [task for task in self.asking if not task.done()]


TestLimits = Limits.TestCase
TestLimits.settings = settings(max_examples=150, stateful_step_count=30)
