"""The asynchronous shell around a machine of small batches, on a Kafka and a provider in memory."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

from meter.edges import BillingApi, Ports
from meter.metrics import Metrics
from meter.pipeline import receipt as receipts
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.machine import Machine
from meter.pipeline.receipt import Receipt
from meter.pipeline.retry import Chance
from meter.rebalance import GroupOptions
from meter.standing import Standing
from meter.supervisor import Supervisor
from meter.worker import Worker
from tests.builders import machine_options
from tests.clocks import RunningClock
from tests.fakes import FakeBilling
from tests.kafka_fakes import FakeCluster, FakeSource
from tests.records import as_json
from tests.topic_fakes import FakeDeadLetters, FakeReceipts

TOPIC, RECEIPTS, LETTERS = "usage-events", "usage-events-receipts", "usage-events-dead-letters"
LIMIT_SECONDS = 60.0
"""For what takes milliseconds, on a machine that does much else."""
RECONNECT_SECONDS = 0.01
PAUSE_SECONDS = 0.005
SESSION_SECONDS = 30.0


class Least:
    """Chance that always takes the smallest: no wait is longer than it must be."""

    def uniform(self, a: float, b: float, /) -> float:
        """The lower end."""
        return min(a, b)


class World:
    """What outlives a process: topics, the group's commits, and what the provider has billed."""

    def __init__(
        self, partitions: int = 2, *, clock: RunningClock | None = None, cluster: FakeCluster | None = None
    ) -> None:
        self.clock = clock or RunningClock()
        self.cluster = cluster or FakeCluster(lambda: self.clock.now().wall_seconds)
        for topic in (TOPIC, RECEIPTS, LETTERS):
            self.cluster.create_topic(topic, partitions)
        self.group = self.cluster.group(TOPIC)
        self.billing = FakeBilling()

    def produce(self, *keys: str, partition: int = 0, customer: str = "cus_1") -> None:
        """One valid event per key."""
        for key in keys:
            event = {"customerRef": customer, "units": 1, "idempotencyKey": key}
            self.cluster.produce(TOPIC, as_json(event), partition=partition)

    def committed(self, partition: int = 0) -> int | None:
        """The group's offset."""
        commit = self.group.commits.get(partition)
        return None if commit is None else commit.offset

    def receipts(self, partition: int = 0) -> list[Receipt]:
        """Whatever was receipted, in its order."""
        found = [receipts.decode(record.value) for record in self.cluster.log(RECEIPTS, partition).records]
        return [receipt for receipt in found if receipt is not None]

    def receipted(self, partition: int = 0) -> list[str]:
        """The keys in the receipts, in their order."""
        return [key for receipt in self.receipts(partition) for key in receipt.keys]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Waits for it, and fails after some seconds."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"still not: {what}"
            await asyncio.sleep(PAUSE_SECONDS)

    def turn(self, seconds: float) -> None:
        """So much later; whoever waits looks at the clock."""
        self.clock.turn(seconds)
        self.group.wake()

    async def turns(self, times: int = 50) -> None:
        """The loop goes round: whatever can happen without time passing has happened."""
        for _ in range(times):
            await asyncio.sleep(0)


class WatchedReceipts(FakeReceipts):
    """Knows from where it was read."""

    def __init__(self, cluster: FakeCluster, topic: str) -> None:
        super().__init__(cluster, topic)
        self.read_from: list[tuple[int, int]] = []
        self.open = 0
        self.most_open = 0

    async def read(self, partition: int, start: int) -> AsyncGenerator[Sequence[tuple[int, bytes]], None]:
        self.read_from.append((partition, start))
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            async for chunk in super().read(partition, start):
                yield chunk
        finally:
            for _ in range(100):  # a client, too, does not close at once
                await asyncio.sleep(0)
            self.open -= 1


class Process(World):
    """One process of meter in a world; `world` to share one with others, `bills_at` for a provider outside of it."""

    def __init__(self, world: World | None = None, partitions: int = 2, **changes: Any) -> None:
        if world is None:
            super().__init__(partitions)
        else:
            self.__dict__.update(world.__dict__)
        self._instance_id: str | None = changes.pop("instance_id", None)
        self._bills_at: BillingApi = changes.pop("bills_at", self.billing)
        chance: Chance = changes.pop("chance", Least())
        membership = {
            "start_from": "earliest",
            "hand_over_seconds": 12.0,
            "assignment_seconds": 12.0,
            "ends_every_seconds": 0.02,
            "take_over_seconds": SESSION_SECONDS if self._instance_id is not None else 0.0,
        }
        membership |= {name: changes.pop(name) for name in membership.keys() & changes.keys()}
        small: dict[str, Any] = {"topic": TOPIC, "batch": BatchLimits(3, 100_000, 0.0)}
        self.machine = Machine(machine_options(**(small | changes)), chance)
        self.metrics = Metrics("test")
        self.standing = Standing(self.machine, self.metrics, self.clock, (), 60.0, 10.0)
        self.stop = asyncio.Event()
        self.drain_timeout_seconds = 20.0
        self.reconnect_seconds = RECONNECT_SECONDS
        self.sources: list[FakeSource] = []
        self.receipt_log = WatchedReceipts(self.cluster, RECEIPTS)
        self._group_options = GroupOptions(
            topic=TOPIC,
            group_id="meter",
            window_seconds=86_400.0,
            window_max_ids=1000,
            **membership,  # type: ignore[arg-type]  # two options of different types
        )

    def worker(self) -> Worker:
        """One membership, which has not begun."""
        self.sources.append(self.cluster.make_source(TOPIC, self._instance_id))
        letters = FakeDeadLetters(self.cluster, LETTERS)
        ports = Ports(self.sources[-1], self.receipt_log, letters, self._bills_at, self.clock)
        made = Worker(self.machine, ports, self.standing, self._group_options)
        self.standing.kafka_trouble = None
        return made

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Worker]:
        """As the daemon connects."""
        async with self.cluster.faults.around("connect"):
            yield self.worker()

    def supervisor(self) -> Supervisor:
        """As the daemon makes it."""
        return Supervisor(
            self.connected, self.machine, self.standing, self.clock, self.drain_timeout_seconds, self.reconnect_seconds
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        """It runs inside, and is stopped in order at the end; whatever it raised is raised then."""
        task = asyncio.create_task(self.supervisor().run(self.stop))
        try:
            yield task
            self.stop.set()
            if not task.cancelled():
                await asyncio.wait_for(task, LIMIT_SECONDS)
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def joined(self) -> None:
        """It has partitions, with their windows filled."""
        await self.until(lambda: not _kafka_reasons(self.standing.reasons()), "a member")

    async def ended(self) -> None:
        """Whatever was produced has ended and is committed, in all partitions."""
        await self.until(self._is_all_committed_soon, "everything is committed")

    def _is_all_committed_soon(self) -> bool:
        self.turn(0.05)  # nobody needs to sit out retries, or commits that wait for others to ride with them
        return all(self.committed(p) == log.end for p, log in enumerate(self.cluster.topics[TOPIC]))

    @property
    def events(self) -> dict[str, int]:
        """The counts, without zeros."""
        assert self.machine.counts.balanced()
        return {name: count for name, count in self.machine.counts.events().items() if count}


def _kafka_reasons(reasons: Sequence[str]) -> list[str]:
    return [reason for reason in reasons if reason.startswith(("kafka", "window"))]
