"""How far the work has come, as the meters say themselves: faults wait for it, and strike all along the way."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import islice

import pytest

from tests.chaos.stream import Producer
from tests.integration.books import Planned
from tests.integration.daemon import Installation

TRICKLE_EVENTS = 10
TRICKLE_SECONDS = 0.2


class Progress:
    """Watches an installation, and keeps the stream flowing while it waits: on a quiet topic nobody is judged."""

    def __init__(self, place: Installation, producer: Producer, planned: Iterator[Planned]) -> None:
        self._place = place
        self._producer = producer
        self._planned = planned

    async def falls_below(self, backlog_total: int, limit_seconds: float) -> None:
        """Return when so few of the events produced are without an end."""

        async def caught_up() -> bool:
            committed = await self._committed()
            ends = self._place.ledger.ends
            return sum(end - committed.get(partition, 0) for partition, end in ends.items()) <= backlog_total

        await self._flowing_until(caught_up, limit_seconds, f"the backlog falls below {backlog_total}")

    async def reaches(self, ends: Mapping[int, int], limit_seconds: float) -> None:
        """Return when everything below `ends` has ended, and is committed."""

        async def reached() -> bool:
            committed = await self._committed()
            return all(committed.get(partition, 0) >= end for partition, end in ends.items())

        await self._flowing_until(reached, limit_seconds, f"everything below {dict(ends)} is committed")

    async def _flowing_until(self, come: Callable[[], Awaitable[bool]], limit_seconds: float, what: str) -> None:
        deadline = time.monotonic() + limit_seconds
        while not await come():
            if time.monotonic() > deadline:
                pytest.fail(f"after {limit_seconds:g} s still not: {what}")
            await self._producer.send(list(islice(self._planned, TRICKLE_EVENTS)))
            await asyncio.sleep(TRICKLE_SECONDS)

    async def _committed(self) -> dict[int, int]:
        """Partition -> what a running meter has committed."""
        found: dict[int, int] = {}
        for answer in await asyncio.gather(*[one.ask("GET", "/status") for one in self._place.running_meters()]):
            for row in answer.json()["partitions"] if answer is not None else ():
                found[row["partition"]] = max(found.get(row["partition"], 0), row["committed"] or 0)
        return found
