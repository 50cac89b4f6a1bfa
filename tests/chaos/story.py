"""One seed from its first event to the verdict, which is found outside meter: topics, commits, rows of the provider."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Broker, create_topic
from tests.chaos.stream import Producer, Stream
from tests.chaos.strikes import Strikes
from tests.integration.books import PARTITIONS, added_up, faults_in_the_books
from tests.integration.daemon import Installation, installation

REPLICAS = 3
ENDING_SECONDS = 240.0


@dataclass(frozen=True)
class Result:
    """What one seed came to; `faults` empty means that every guarantee was kept."""

    seed: int
    events: int
    seconds: float
    struck: dict[str, int]
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the file that is kept."""
        return asdict(self)


async def play(
    seed: int,
    events: int,
    broker: Broker,
    folder: Path,
    *,
    kinds: Sequence[str] | None = None,
    times: int = 3,
    anywhere: bool = True,
    key_memory_seconds: float | None = None,
) -> Result:
    """Produces `events` usage events while each of `kinds` (None: all) strikes `times` times, in a seeded order.

    Each strike has its share of the events, which are produced while it happens: none is without work under way.
    """
    started = time.monotonic()
    chance = random.Random(seed)
    topic = f"chaos-{seed}-{time.time_ns()}"
    await create_topic(broker.bootstrap_servers, topic, PARTITIONS)
    async with installation(broker.bootstrap_servers, topic, folder) as place:
        await place.start_sandbox(**_knobs(key_memory_seconds))
        strikes = Strikes(place, broker, chance, PARTITIONS)
        await strikes.calm()
        for _ in range(REPLICAS):
            await place.start_meter()
        stream = Stream(chance, events, lambda: strikes.partitions, anywhere=anywhere)
        async with Producer(broker.bootstrap_servers, topic, place.ledger) as producer:
            names = list(kinds or strikes.names) * times
            chance.shuffle(names)
            planned, share = iter(stream), events // (len(names) + 1)
            faults = []
            try:
                for name in names:
                    await asyncio.gather(producer.send(list(islice(planned, share))), strikes.strike(name))
                await producer.send(list(planned))
            except pytest.fail.Exception as stalled:  # what was waited for has not come
                faults.append(str(stalled))
        faults += await _verdict(place, strikes)
    return Result(seed, events, time.monotonic() - started, {**strikes.struck, **stream.extra}, faults)


def _knobs(key_memory_seconds: float | None) -> dict[str, Any]:
    return {} if key_memory_seconds is None else {"key_life_seconds": key_memory_seconds}


async def _verdict(place: Installation, strikes: Strikes) -> list[str]:
    faults = [
        f"a meter that was asked to stop ended with {code}"
        for meter in strikes.leaving
        if (code := await meter.program.end(60.0)) != 0
    ]
    expected_dead = {*strikes.leaving, *strikes.killed}
    faults += [
        f"{one.program.name} has ended by itself:\n{one.program.log_tail()}"
        for one in place.meters
        if not one.program.is_running and one not in expected_dead
    ]
    try:
        await place.everything_ended(ENDING_SECONDS)
        await place.nothing_more_is_sent()
    except (AssertionError, pytest.fail.Exception) as stalled:
        faults.append(f"not everything has ended: {stalled}")
    statuses = [await meter.status() for meter in place.running_meters()]
    world = (place.servers, place.topic, place.group, place.sandbox.url)
    found = await faults_in_the_books(*world, place.ledger, statuses)
    assert added_up(statuses)["held"] == 0 or faults
    return faults + [str(fault) for fault in found]
