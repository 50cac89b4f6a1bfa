"""What is produced while things break: usage, copies near and far, records that are none, and refused customers."""

import json
import random
from collections import deque
from collections.abc import Callable, Iterator

from aiokafka import AIOKafkaProducer

from tests.integration.books import KEY, Ledger, Planned, invalid, usage
from tests.waiting import eventually

REFUSED_CUSTOMER = "cus_refused"
"""The provider refuses its usage; that is its own fault, and it ends in the dead letters."""
NEAR_COPIES, FAR_COPIES, INVALID, REFUSED = 0.03, 0.03, 0.01, 0.004
FAR = 20_000
REFUSED_UNTIL = 0.9
"""Of the stream: a refusal is judged by what is accepted after it."""


class Stream:
    """A seeded stream of `count` events. Copies go `anywhere`, or stay in the partition of their original."""

    def __init__(self, chance: random.Random, count: int, partitions: Callable[[], int], *, anywhere: bool) -> None:
        self.made = 0
        self.extra = {"copy near": 0, "copy far": 0, "garbage": 0, "refused customer": 0}
        self._chance = chance
        self._count = count
        self._partitions = partitions
        self._anywhere = anywhere
        self._recent: deque[tuple[int, int]] = deque(maxlen=FAR)

    def __iter__(self) -> Iterator[Planned]:
        for number in range(self._count):
            partition = number % self._partitions()
            self._recent.append((number, partition))
            self.made += 1
            yield usage(number, partition)
            yield from self._beside(number)

    def _beside(self, number: int) -> Iterator[Planned]:
        draw = self._chance.random
        if draw() < NEAR_COPIES:
            yield self._copy("copy near", *self._recent[-1 - self._chance.randrange(min(5, len(self._recent)))])
        if draw() < FAR_COPIES:
            yield self._copy("copy far", *self._recent[self._chance.randrange(len(self._recent))])
        if draw() < INVALID:
            self.extra["garbage"] += 1
            yield invalid(number)
        if draw() < REFUSED and number < self._count * REFUSED_UNTIL:
            self.extra["refused customer"] += 1
            fields = {"customerRef": REFUSED_CUSTOMER, "units": 1, "idempotencyKey": f"refused-{number}"}
            yield Planned(number % self._partitions(), json.dumps(fields).encode(), reason="rejected")

    def _copy(self, which: str, number: int, partition: int) -> Planned:
        self.extra[which] += 1
        return usage(number, self._chance.randrange(self._partitions()) if self._anywhere else partition)


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
