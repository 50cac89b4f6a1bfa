"""A limits cache with everything around it in the hands of the test: the provider, pending usage, the clock."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from meter.billing.limits_outcome import (
    LimitsAnswer,
    LimitsOutcome,
    LimitsUnavailable,
)
from meter.clock import Now
from meter.limits import Answer, LimitsCache, Question
from meter.pipeline.usage import PendingUsage
from meter.settings import LimitsSettings

ASK = Question("cus_1", "prd_1")
AWAY = LimitsUnavailable("no connection")


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> Now:
        return Now(self.seconds, 1_800_000_000.0 + self.seconds)


class Provider:
    """Answers from a table by product; while `open` is clear its requests wait."""

    def __init__(self) -> None:
        self.answers: dict[str, LimitsOutcome] = {}
        self.asked: list[Mapping[str, object]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.arrived = asyncio.Event()

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        self.asked.append(request)
        self.arrived.set()
        await self.open.wait()
        return self.answers.get(str(request["productRef"]), AWAY)


def units(remaining: float, **more: object) -> LimitsAnswer:
    """A plan with an allowance."""
    return LimitsAnswer({"withinLimits": remaining > 0, "remaining": remaining, **more})


def prepaid(balance: int, price: int) -> LimitsAnswer:
    """A plan that debits credits."""
    return units(balance // price, creditBalance=balance, creditsPerUnit=price)


@dataclass
class Setup:
    """The cache with everything around it."""

    provider: Provider = field(default_factory=Provider)
    usage: PendingUsage = field(default_factory=PendingUsage)
    time: Time = field(default_factory=Time)
    settings: LimitsSettings = field(default_factory=LimitsSettings)
    patience_seconds: float = 15.0
    deadline_seconds: float = 30.0
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = LimitsCache(
            self.provider,
            self.usage,
            self.time,
            self.settings,
            observe=lambda source, _: self.seen.append(source),
            patience_seconds=self.patience_seconds,
            deadline_seconds=self.deadline_seconds,
        )

    async def remaining(self, product: str = "prd_1") -> float:
        answer = await self.cache.answer(Question("cus_1", product))
        return float(answer.body["remaining"])


def meter(answer: Answer) -> Mapping[str, object]:
    """The object that meter adds."""
    found: Mapping[str, object] = answer.body["meter"]
    return found


async def nothing_is_kept(setup: Setup) -> None:
    setup.time.seconds += 60.1
    setup.cache.forget_expired()
    setup.cache.forget_expired()
    assert (len(setup.cache), len(setup.usage)) == (0, 0)
    await setup.cache.close()
