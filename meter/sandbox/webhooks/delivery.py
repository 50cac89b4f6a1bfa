"""Delivers webhooks: what is due goes to its endpoint, signed, one after the other, again until it is taken."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import httpx

from meter.sandbox.webhooks.outbox import Delivery, Endpoint, Outbox
from meter.sandbox.webhooks.retries import BATCH, next_go, wait_seconds
from meter.sandbox.webhooks.signing import headers

ANSWER_LIMIT_SECONDS = 10.0
_REST_SECONDS = 1.0
"""How long the sender rests after the store has failed."""


class Manner(NamedTuple):
    """How faithfully webhooks are slow and unreliable.

    Waits between attempts are multiplied by `time_scale`; with a lag events go out at moments so many seconds
    apart, 20 at a time; `shuffled` ones in any order; `duplicates` is the share that is sent twice.
    """

    time_scale: float = 1.0
    lag_seconds: float = 0.0
    shuffled: bool = False
    duplicates: float = 0.0


class Webhooks:
    """Sends what the outbox holds. At least once: what the process did not see acknowledged is sent again."""

    def __init__(
        self,
        outbox: Outbox,
        manner: Manner = Manner(),  # noqa: B008  # immutable
        now: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._outbox = outbox
        self._manner = manner
        self._now = now
        self._transport = transport
        self._random = Random(0)  # noqa: S311  # no secret depends on it
        self._last_go: dict[str, float] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        outbox.written = self._news.set

    async def run(self) -> None:
        """Send whatever becomes due, until cancelled; endpoints do not wait for each other."""
        async with self._client() as client:
            try:
                while True:
                    self._news.clear()
                    for endpoint in self._ready():
                        task = asyncio.create_task(self._guarded(client, endpoint))
                        self._sending[endpoint.reference] = task
                    await self._until_next()
            finally:
                for task in self._sending.values():
                    task.cancel()
                await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def send_due(self) -> None:
        """Send what is due now, each once, and return."""
        async with self._client() as client:
            for endpoint in list(self._outbox.endpoints.values()):
                await self._go(client, endpoint)

    def next_due(self) -> float | None:
        """When an event is to be sent next, in Unix seconds; None when none waits for an endpoint that takes any."""
        return min((moment for each in self._idle() if (moment := self._next(each)) is not None), default=None)

    def _client(self) -> httpx.AsyncClient:
        # Nothing of the environment: no proxy may stand between this machine and itself.
        return httpx.AsyncClient(transport=self._transport, timeout=ANSWER_LIMIT_SECONDS, trust_env=False)

    def _ready(self) -> list[Endpoint]:
        """Endpoints for which something is due and that are not busy."""
        now = self._now()
        return [endpoint for endpoint in self._idle() if (moment := self._next(endpoint)) is not None and moment <= now]

    def _idle(self) -> list[Endpoint]:
        found = self._outbox.endpoints.values()
        return [each for each in found if each.disabled_at is None and each.reference not in self._sending]

    def _next(self, endpoint: Endpoint) -> float | None:
        due_at = self._outbox.next_due(endpoint.reference)
        if due_at is None:
            return None
        return next_go(due_at, self._last_go.get(endpoint.reference, 0.0), self._manner.lag_seconds)

    async def _until_next(self) -> None:
        """Wait until something is due for somebody idle, or there is news."""
        moment = self.next_due()
        seconds = None if moment is None else max(moment - self._now(), 0.0)
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _guarded(self, client: httpx.AsyncClient, endpoint: Endpoint) -> None:
        """One go; a store that fails is told to the operator and tried again after a rest."""
        try:
            await self._go(client, endpoint)
        except sqlite3.Error as error:
            print(f"meter sandbox: webhooks: {error}", file=sys.stderr)  # noqa: T201  # the operator must see it
            await asyncio.sleep(_REST_SECONDS)
        finally:
            del self._sending[endpoint.reference]
            self._news.set()

    async def _go(self, client: httpx.AsyncClient, endpoint: Endpoint) -> None:
        """Send a batch of what is due to one endpoint."""
        now = self._now()
        self._last_go[endpoint.reference] = now
        batch = self._outbox.take(endpoint.reference, now, BATCH)
        if self._manner.shuffled:
            self._random.shuffle(batch)
        for delivery in batch:
            if self._outbox.endpoints.get(endpoint.reference) != endpoint:
                return  # gone or disabled meanwhile
            self._settle(endpoint, delivery, await self._attempt(client, endpoint, delivery))
            if self._random.random() < self._manner.duplicates:
                await self._attempt(client, endpoint, delivery)

    def _settle(self, endpoint: Endpoint, delivery: Delivery, answer: str) -> None:
        """Keep what came of an attempt: taken, to be tried again, or the end of the endpoint."""
        if answer.isdecimal() and answer.startswith("2"):
            self._outbox.attempted(delivery, answer, state="delivered", due_at=delivery.due_at)
            return
        now = self._now()
        wait = wait_seconds(delivery.attempts + 1, self._manner.time_scale)
        if wait is None:
            self._outbox.attempted(delivery, answer, state="given_up", due_at=delivery.due_at)
            self._outbox.keep(endpoint._replace(disabled_at=now))
        else:
            self._outbox.attempted(delivery, answer, state="waiting", due_at=now + wait)

    async def _attempt(self, client: httpx.AsyncClient, endpoint: Endpoint, delivery: Delivery) -> str:
        """The status that answers within ten seconds, or why there is none."""
        signed = headers(endpoint.secret, delivery.event_id, delivery.body, self._now())
        try:
            async with asyncio.timeout(ANSWER_LIMIT_SECONDS):
                response = await client.post(endpoint.url, content=delivery.body, headers=signed)
        except (httpx.TimeoutException, TimeoutError):
            return f"no answer within {ANSWER_LIMIT_SECONDS:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return str(error) or type(error).__name__
        return str(response.status_code)
