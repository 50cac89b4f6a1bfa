"""The way to the provider: requests take a while, get lost, and are answered although nobody listens any more."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from meter.pipeline.outcome import Accepted, NotSent, Outcome, TryAgain
from tests.simulation.provider import STILL_INSERTING_SECONDS, Request

if TYPE_CHECKING:
    from tests.simulation.processes.world import Replica, World

TIMEOUT_SECONDS = 3.0
CONNECTING_SECONDS = 0.02
QUICK_SECONDS = 0.2
SLOW = 0.1
UNKNOWN = ("cut_before", "cut_after", "late")
GONE = ("ok", *UNKNOWN)


class Line:
    """`BillingApi` of one process. `moods` say how the next requests are answered, whoever sends them."""

    def __init__(self, world: "World", replica: "Replica", moods: deque[str]) -> None:
        self._world = world
        self._replica = replica
        self._moods = moods

    async def record_bulk(self, bodies: Sequence[bytes], may_send: Callable[[], bool]) -> Outcome:
        """The request goes on by itself; whoever has sent it listens for as long as it may."""
        world = self._world
        await asyncio.sleep(world.chance.uniform(0.0, CONNECTING_SECONDS))
        if not may_send():
            world.struck["sending forbidden at the last moment"] += 1
            return NotSent()
        request = self._take([msgspec.json.decode(body) for body in bodies])
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        world.outside(self._handle(request, answer))
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await answer
        except TimeoutError:
            return self.hang_up(request, UNKNOWN)
        except asyncio.CancelledError:
            self.hang_up(request, UNKNOWN)
            raise

    def hang_up(self, request: Request, ends: Sequence[str]) -> Outcome:
        """Nobody listens any more: what is under way at the provider ends in one of these ways."""
        if request in self._world.provider.requests:
            self._end(request, self._world.chance.choice(ends))
        return TryAgain("timeout", outcome_unknown=True)

    def _take(self, events: Sequence[dict[str, str]]) -> Request:
        world, keys = self._world, [event["idempotencyKey"] for event in events]
        with world.judged():
            for key in keys:
                known = world.receipted_before(self._replica, key)
                assert not known, f"{key} is sent again although its receipt was there to be read"
            number, customers = self._replica.number, [event["customerRef"] for event in events]
            return world.provider.take(number, f"r{world.requests_total}", keys, customers, world.loop.seconds)

    async def _handle(self, request: Request, answer: "asyncio.Future[Outcome]") -> None:
        chance = self._world.chance
        how = self._moods.popleft() if self._moods else "ok"
        is_slow = how in UNKNOWN or chance.random() < SLOW
        await asyncio.sleep(TIMEOUT_SECONDS * chance.random() if is_slow else QUICK_SECONDS * chance.random())
        if request in self._world.provider.requests:
            outcome = self._end(request, how)
            if not answer.done():
                answer.set_result(outcome)

    def _end(self, request: Request, how: str) -> Outcome:
        world = self._world
        with world.judged():
            outcome = world.provider.answer(request, how, world.loop.seconds)
        if how == "late":
            world.loop.call_later(STILL_INSERTING_SECONDS, world.insert_late, context=world.context)
        if not isinstance(outcome, Accepted):
            world.struck[f"provider: {how if how != 'ok' else type(outcome).__name__}"] += 1
        return outcome
