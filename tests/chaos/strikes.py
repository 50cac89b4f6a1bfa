"""What breaks: each strike is one thing that happens to one of the processes, and what an operator does about it."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from aiokafka.admin import NewPartitions

from tests.brokers import Broker, admin_of
from tests.chaos.stream import REFUSED_CUSTOMER
from tests.integration.daemon import BULK_ROUTE, Installation, Meter
from tests.waiting import eventually

Fault = Mapping[str, object]

SLOW: Fault = {"route": BULK_ROUTE, "kind": "delay", "seconds": 0.15}
REFUSE: Fault = {"route": BULK_ROUTE, "kind": "reject_event", "customers": [REFUSED_CUSTOMER]}
PROVIDER: Mapping[str, Fault] = {
    "provider: 503": {"kind": "status", "status": 503},
    "provider: 429": {"kind": "status", "status": 429, "retry_after_seconds": 1},
    "provider: slower than the timeout": {"kind": "delay", "seconds": 3.0},
    "provider: cut before insert": {"kind": "cut_before_commit"},
    "provider: cut after insert": {"kind": "cut_after_commit"},
    "provider: 500 after insert": {"kind": "status_after_commit", "status": 500},
    "provider: inserts late": {"kind": "late_commit", "seconds": 1.0},
    "provider: inserts a part": {"kind": "partial_insert", "inserted": 100},
    "provider: body too large": {"kind": "body_limit", "bytes": 15_000},
    "provider: a result too few": {"kind": "wrong_results"},
    "provider: half an answer": {"kind": "malformed"},
    "provider: key refused": {"kind": "reject_key"},
}
TIMES = 2
"""So many requests meet a fault of the provider each time."""
STRUCK_SECONDS = 60.0
SLEEP_SECONDS = 40.0
AWAY: Fault = {"route": BULK_ROUTE, "kind": "status", "status": 503}
AWAY_AFTER_INSERT: Fault = {"route": BULK_ROUTE, "kind": "cut_after_commit", "count": 4}


class Strikes:
    """Everything that can happen to an installation, by name, and how often it has."""

    PROCESSES = (
        "meter: SIGKILL",
        "meter: SIGTERM",
        "meter: SIGSTOP past its session",
        "broker: SIGKILL and restart",
        "partition added",
    )
    ABSENCES = (
        "meter: SIGKILL of all, away longer than the provider remembers",
        "broker: SIGKILL, away longer than the provider remembers",
        "provider: cut after insert, away longer than it remembers",
    )

    def __init__(
        self, place: Installation, broker: Broker, chance: random.Random, partitions: int, away_seconds: float = 0.0
    ) -> None:
        self.struck: Counter[str] = Counter()
        self.partitions = partitions
        self.leaving: list[Meter] = []
        """Those that were asked to stop, and must end well."""
        self.killed: list[Meter] = []
        self.outages: list[tuple[float, float]] = []
        """Since when and until when (Unix seconds) somebody was away for longer than the provider remembers."""
        self._place = place
        self._broker = broker
        self._chance = chance
        self._away_seconds = away_seconds
        doing = (self._kill, self._terminate, self._sleep, self._restart_broker, self._add_partition)
        absences = (self._all_meters_away, self._broker_away, self._provider_away)
        self._processes = dict(zip(self.PROCESSES + self.ABSENCES, doing + absences, strict=True))

    @property
    def names(self) -> Sequence[str]:
        """All kinds that are over soon."""
        return [*self.PROCESSES, *PROVIDER]

    async def strike(self, name: str) -> None:
        """Lets it happen; returns when it has, not when everybody has recovered."""
        if name in PROVIDER:
            await self._fail(name)
        else:
            since = time.time()
            await self._processes[name]()
            self.struck[name] += 1
            if name in self.ABSENCES:
                self.outages.append((since, time.time()))

    def fewer_than(self, times: int, names: Sequence[str]) -> list[str]:
        """What has not struck so often: a seed without it shows less than it says."""
        return [f"{name} struck {self.struck[name]} times, not {times}" for name in names if self.struck[name] < times]

    async def calm(self) -> None:
        """The provider is as it is on ordinary days: a little slow, and of one customer it will not hear."""
        await self._place.sandbox.fail(REFUSE, SLOW)

    async def _fail(self, name: str) -> None:
        fault = {"route": BULK_ROUTE, "count": TIMES, **PROVIDER[name]}
        sandbox = self._place.sandbox
        await sandbox.fail(
            REFUSE, fault, SLOW
        )  # what is refused is refused whatever else happens: none of it is billed

        async def struck() -> bool:
            shown = await sandbox.json("GET", "/sandbox/faults")
            return bool(shown[1]["struck"] == TIMES)

        await eventually(struck, STRUCK_SECONDS, f"{name} strikes {TIMES} requests")
        self.struck[name] += TIMES
        await self.calm()

    async def _any(self) -> Meter:
        """One that holds events, if any does."""
        staying = [one for one in self._place.running_meters() if one not in self.leaving]
        answers = await asyncio.gather(*[one.ask("GET", "/status") for one in staying])
        holding = [one for one, told in zip(staying, answers, strict=True) if told and told.json()["events"]["held"]]
        return self._chance.choice(holding or staying)

    async def _owners(self) -> Mapping[Meter, frozenset[int]]:
        staying = [one for one in self._place.running_meters() if one not in self.leaving]
        return {one: mine for one in staying if (mine := await one.partitions())}

    async def _kill(self) -> None:
        meter = await self._any()
        self.killed.append(meter)
        meter.kill()
        await self._place.start_meter()

    async def _terminate(self) -> None:
        meter = await self._any()
        self.leaving.append(meter)
        meter.program.signal(signal.SIGTERM)
        await self._place.start_meter()

    async def _sleep(self) -> None:
        """Until the others have its partitions: it wakes up as somebody who no longer has any."""
        owners = await eventually(self._owners, SLEEP_SECONDS, "a meter has partitions")
        meter, mine = self._chance.choice(list(owners.items()))
        others = [one for one in self._place.running_meters() if one not in (meter, *self.leaving)]
        meter.program.signal(signal.SIGSTOP)

        async def taken() -> bool:
            return mine <= frozenset().union(*[await other.partitions() for other in others])

        try:
            await eventually(taken, SLEEP_SECONDS, "the others take its partitions over")
        finally:
            meter.program.signal(signal.SIGCONT)

    async def _restart_broker(self) -> None:
        await asyncio.to_thread(self._broker.kill)
        await asyncio.to_thread(self._broker.restart)

    async def _add_partition(self) -> None:
        async with admin_of(self._broker.bootstrap_servers) as admin:
            await admin.create_partitions({self._place.topic: NewPartitions(self.partitions + 1)})
        self.partitions += 1

    async def _all_meters_away(self) -> None:
        running = self._place.running_meters()
        staying = [one for one in running if one not in self.leaving]
        self.leaving = [one for one in self.leaving if one not in running]
        self.killed += running
        for meter in running:
            meter.kill()
        await asyncio.sleep(self._away_seconds)
        for _ in staying:
            await self._place.start_meter()

    async def _broker_away(self) -> None:
        await asyncio.to_thread(self._broker.kill)
        await asyncio.sleep(self._away_seconds)
        await asyncio.to_thread(self._broker.restart)

    async def _provider_away(self) -> None:
        """It takes what is under way, and is not heard of again for a while."""
        await self._place.sandbox.fail(REFUSE, AWAY_AFTER_INSERT, AWAY)
        await asyncio.sleep(self._away_seconds)
        await self.calm()
