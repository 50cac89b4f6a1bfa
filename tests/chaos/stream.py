"""What is produced while things break: usage, copies near and far, records that are none, and refused customers."""

import json
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator

from aiokafka import AIOKafkaProducer

from tests.integration.books import KEY, Ledger, Planned, invalid, usage
from tests.waiting import eventually

REFUSED_CUSTOMER = "cus_refused"
"""The provider refuses its usage; that is its own fault, and it ends in the dead letters."""
NEAR_COPIES, FAR_COPIES, LATE_COPIES, INVALID, REFUSED = 0.03, 0.03, 0.03, 0.01, 0.004
NEAR, FAR = 5, 20_000
REFUSED_UNTIL = 0.9
"""Of the stream: a refusal is judged by what is accepted after it."""


class Stream:
    """A seeded stream of `count` events. Copies go `anywhere`, or stay in the partition of their original.

    With `late_seconds` there are copies of events that are older than this, too.
    """

    def __init__(
        self,
        chance: random.Random,
        count: int,
        partitions: Callable[[], int],
        *,
        anywhere: bool,
        late_seconds: float | None = None,
    ) -> None:
        self.extra = {"copy near": 0, "copy far": 0, "copy late": 0, "garbage": 0, "refused customer": 0}
        self._chance = chance
        self._count = count
        self._partitions = partitions
        self._anywhere = anywhere
        self._late_seconds = late_seconds
        self._places: list[int] = []
        """Of each event so far, its partition."""
        self._made_at: list[float] = []

    @property
    def remaining(self) -> int:
        """Events that are still to come, copies and others not counted."""
        return self._count - len(self._places)

    def __iter__(self) -> Iterator[Planned]:
        for number in range(self._count):
            partition = number % self._partitions()
            self._places.append(partition)
            self._made_at.append(time.monotonic())
            yield usage(number, partition)
            yield from self._copies(number)
            yield from self._others(number)

    def _copies(self, number: int) -> Iterator[Planned]:
        if self._chance.random() < NEAR_COPIES:
            yield self._copy("copy near", max(0, number + 1 - NEAR), number + 1)
        if self._chance.random() < FAR_COPIES:
            yield self._copy("copy far", max(0, number + 1 - FAR), number + 1)
        if self._late_seconds is not None and self._chance.random() < LATE_COPIES:
            old = bisect_right(self._made_at, time.monotonic() - self._late_seconds)
            if old:
                yield self._copy("copy late", 0, old)

    def _others(self, number: int) -> Iterator[Planned]:
        if self._chance.random() < INVALID:
            self.extra["garbage"] += 1
            yield invalid(number)
        if self._chance.random() < REFUSED and number < self._count * REFUSED_UNTIL:
            self.extra["refused customer"] += 1
            fields = {"customerRef": REFUSED_CUSTOMER, "units": 1, "idempotencyKey": f"refused-{number}"}
            yield Planned(number % self._partitions(), json.dumps(fields).encode(), reason="rejected")

    def _copy(self, which: str, first: int, stop: int) -> Planned:
        """A copy of one of these events."""
        self.extra[which] += 1
        number = self._chance.randrange(first, stop)
        partition = self._chance.randrange(self._partitions()) if self._anywhere else self._places[number]
        return usage(number, partition)


class Producer:
    """One idempotent producer that outlives the broker's deaths, and enters everything in the books."""

    def __init__(self, servers: str, topic: str, ledger: Ledger) -> None:
        self._topic = topic
        self._ledger = ledger
        self._producer = AIOKafkaProducer(
            bootstrap_servers=servers,
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=120_000,
            metadata_max_age_ms=1_000,
        )

    async def __aenter__(self) -> "Producer":
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, planned: list[Planned]) -> None:
        """Returns when the broker has all of them; partitions that are new are waited for."""
        highest = max((one.partition for one in planned), default=0)

        async def known() -> bool:
            return highest in await self._producer.partitions_for(self._topic)

        await eventually(known, 60, f"the producer knows partition {highest}")
        waiting = [(one, await self._producer.send(self._topic, one.value, KEY, one.partition)) for one in planned]
        for one, future in waiting:
            place = await future
            self._ledger.note(one, place.partition, place.offset)
