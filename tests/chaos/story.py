"""One seed from its first event to the verdict: what is produced, what strikes meanwhile, and who waits for what."""

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Broker, create_topic
from tests.chaos.progress import Progress
from tests.chaos.stream import Producer, Stream
from tests.chaos.strikes import Strikes
from tests.chaos.variants import Variant
from tests.chaos.verdict import Result, Verdict
from tests.integration.books import PARTITIONS
from tests.integration.daemon import Installation, installation

REPLICAS = 3
BACKLOG_SHARES = 3
CATCHING_UP_SECONDS = 120.0
LATE_MARGIN_SECONDS = 15.0
"""So much older than the provider's memory is what a late copy copies: it may have been billed later than produced."""


async def play(
    seed: int, variant: Variant, broker: Broker, folder: Path, *, kinds: Sequence[str] | None = None, name: str = ""
) -> Result:
    """Produces the variant's events while each of `kinds` (None: all) strikes, in a seeded order.

    Each strike has its share of the events, which are produced while it happens: none is without work under way.
    """
    started = time.monotonic()
    topic = f"chaos-{seed}-{time.time_ns()}"
    await create_topic(broker.bootstrap_servers, topic, PARTITIONS)
    async with installation(broker.bootstrap_servers, topic, folder) as place:
        story = _Story(seed, variant, broker, place)
        verdict = Verdict(variant, await story.told(kinds))
        await verdict.find(place, story.strikes)
        verdict.faults += story.strikes.fewer_than(variant.times, kinds or story.strikes.names)
    return Result(
        seed,
        name,
        variant.events,
        round(time.monotonic() - started, 1),
        {**story.strikes.struck, **story.stream.extra},
        verdict.promises,
        dict(verdict.doubles),
        verdict.measured,
        story.outages,
        verdict.faults,
    )


class _Story:
    """What happens to one installation."""

    def __init__(self, seed: int, variant: Variant, broker: Broker, place: Installation) -> None:
        chance = random.Random(seed)
        memory = variant.key_memory_seconds
        self.outages: dict[str, float] = {}
        self.strikes = Strikes(place, broker, chance, PARTITIONS, variant.away_seconds or 0.0)
        self.stream = Stream(
            chance,
            variant.events,
            lambda: self.strikes.partitions,
            anywhere=variant.anywhere,
            late_seconds=None if memory is None else memory + LATE_MARGIN_SECONDS,
        )
        self._chance = chance
        self._variant = variant
        self._place = place

    async def told(self, kinds: Sequence[str] | None) -> list[str]:
        """Everything that happens; what was waited for and has not come."""
        await self._place.start_sandbox(**self._knobs())
        await self.strikes.calm()
        await asyncio.gather(*[self._place.start_meter() for _ in range(REPLICAS)])
        names = list(kinds or self.strikes.names) * self._variant.times
        if self._variant.away_seconds is not None:
            names += self.strikes.ABSENCES
        self._chance.shuffle(names)
        async with Producer(self._place.servers, self._place.topic, self._place.ledger) as producer:
            self._planned = iter(self.stream)
            self._producer = producer
            self._progress = Progress(self._place, producer, self._planned)
            try:
                for done, name in enumerate(names):
                    await self._struck_by(name, self.stream.remaining // (len(names) - done + 1))
                await self._send(self.stream.remaining)
            except pytest.fail.Exception as stalled:
                return [f"{name}: {stalled}"]
        return []

    async def _struck_by(self, name: str, share: int) -> None:
        await self._progress.falls_below(BACKLOG_SHARES * share, CATCHING_UP_SECONDS)
        started = time.monotonic()
        sending = asyncio.create_task(self._send(share))
        try:
            await self.strikes.strike(name)
        finally:
            await sending
        limit_seconds = self._variant.longest_outage_seconds
        if limit_seconds is not None:
            await self._progress.reaches(dict(self._place.ledger.ends), limit_seconds - (time.monotonic() - started))
            outage_seconds = round(time.monotonic() - started, 1)
            self.outages[name] = max(outage_seconds, self.outages.get(name, 0.0))

    async def _send(self, events: int) -> None:
        """So many of the planned events, with what comes beside them."""
        until = self.stream.remaining - events
        planned = []
        while self.stream.remaining > until and (one := next(self._planned, None)) is not None:
            planned.append(one)
        planned += list(self._planned) if not until else []
        await self._producer.send(planned)

    def _knobs(self) -> dict[str, Any]:
        memory = self._variant.key_memory_seconds
        return {} if memory is None else {"key_life_seconds": memory}
