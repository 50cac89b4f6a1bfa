"""Looks at meter and the sandbox while they work, as an operator and as a product service would."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from meter.demo.provider import Provider
from meter.errors import Unavailable

_LOOK_SECONDS = 0.1
_ASK_SECONDS = 0.1
_TIMEOUT_SECONDS = 2.0


@dataclass(slots=True)
class Seen:
    """The latest look; the numbers of a process that is gone stay until its successor answers."""

    billed: int = 0
    status: Mapping[str, Any] = field(default_factory=dict)
    answers: bool = False

    @property
    def events(self) -> Mapping[str, int]:
        """Counters of the running process."""
        events: Mapping[str, int] = self.status.get("events", {})
        return events

    @property
    def held(self) -> int:
        """Events without an end."""
        return self.events.get("held", 0)

    @property
    def works(self) -> bool:
        """Whether meter answers and has its partitions."""
        return self.answers and bool(self.status.get("partitions"))

    @property
    def absence(self) -> str:
        """Why it does not work."""
        return "meter waits for its partitions" if self.answers else "meter is away"

    @property
    def lag(self) -> int:
        """Records that are not committed yet, over all partitions."""
        return sum(int(row["lag"] or 0) for row in self.status.get("partitions", ()))

    def has_committed(self, ends: Mapping[int, int]) -> bool:
        """Whether every partition is committed up to its end, and says so itself."""
        rows = {row["partition"]: row for row in self.status.get("partitions", ())}
        return self.answers and all(
            partition in rows and rows[partition]["committed"] == end and rows[partition]["lag"] == 0
            for partition, end in ends.items()
        )


@dataclass(slots=True)
class Limits:
    """What a product service was told about the limited customer."""

    sources: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    unanswered: int = 0
    first_no: Mapping[str, Any] | None = None
    """The first "no" that was not by policy."""
    last: Mapping[str, Any] | None = None

    @property
    def median_milliseconds(self) -> float:
        """How long an answer took."""
        return sorted(self.milliseconds)[len(self.milliseconds) // 2] if self.milliseconds else 0.0


class Observer:
    """Asks meter at `url`; use as an asynchronous context manager."""

    def __init__(self, url: str, provider: Provider) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._provider = provider
        self.seen = Seen()
        self.limits = Limits()

    async def __aenter__(self) -> "Observer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def look(self) -> Seen:
        """Ask for status and totals once."""
        with suppress(Unavailable):  # a busy sandbox: the number of the last look stays
            self.seen.billed = (await self._provider.totals())["usages"]
        try:
            answer = await self._client.get("/status")
        except httpx.TransportError:
            self.seen.answers = False
            return self.seen
        self.seen.answers = answer.is_success
        if answer.is_success:
            self.seen.status = answer.json()
        return self.seen

    async def look_for_ever(self) -> None:
        """Keep `seen` fresh until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def ready(self) -> bool:
        """Whether meter is a member of its group and works."""
        try:
            return (await self._client.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    async def ask_for_ever(self, customer: str, product: str) -> None:
        """Ask for the customer's limit again and again, as a service does before each use, until cancelled."""
        while True:
            await self.ask(customer, product)
            await asyncio.sleep(_ASK_SECONDS)

    async def ask(self, customer: str, product: str) -> None:
        """Ask once, and keep the answer's facts."""
        started = time.monotonic()
        try:
            answer = await self._client.get(f"/v1/limits/{customer}/{product}")
        except httpx.TransportError:
            self.limits.unanswered += 1
            return
        if not answer.is_success:
            self.limits.unanswered += 1
            return
        self.limits.milliseconds.append((time.monotonic() - started) * 1000)
        self._note(answer.json())

    def _note(self, answer: Mapping[str, Any]) -> None:
        self.limits.sources[answer["meter"]["source"]] += 1
        self.limits.last = answer
        if not answer["withinLimits"] and self.limits.first_no is None and answer["meter"]["source"] != "policy":
            self.limits.first_no = answer
