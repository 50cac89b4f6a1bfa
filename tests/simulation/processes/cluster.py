"""Kafka for several processes in virtual time: answers take a while, sessions run out, who does not answer is left out.

Everything durable is entered in the books (`tests.simulation.broker`), which check it there and then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from meter.errors import MeterError, Redelivered, Unavailable
from meter.pipeline import receipt as receipts
from meter.pipeline.start import Committed
from tests.fake_log import Effect, FakeRecord, Faults
from tests.kafka_fakes import FakeCluster, FakeGroup, FakeSource
from tests.shell import LETTERS, RECEIPTS

if TYPE_CHECKING:
    from tests.simulation.processes.world import World

SESSION_SECONDS = 10.0
REBALANCE_SECONDS = 12.0
BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.25
LATENCY_SECONDS = 0.02
GIVEN_UP_SECONDS = 5.0
PATIENCE = 5
NOT_ASKED = ("poll",)
"""Answered out of what the client has: no time passes between the taking and the having."""


class Trouble(Faults):
    """What goes wrong is counted when it strikes; a process that is cut off waits, and gets no answer."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    def strike(self, operation: str) -> tuple[Effect, MeterError]:
        effect, error = super().strike(operation)
        if effect != "none":
            self._world.struck[f"kafka: {operation}: {effect}"] += 1
        return effect, error

    @asynccontextmanager
    async def around(self, operation: str) -> AsyncIterator[None]:
        await self._on_the_way(operation)
        async with super().around(operation):
            yield
        await self._on_the_way(operation)

    async def _on_the_way(self, operation: str) -> None:
        if operation in NOT_ASKED:
            return
        await asyncio.sleep(self._world.chance.uniform(0.0, LATENCY_SECONDS))
        process = self._world.process()
        if process is not None and process.is_cut_off:
            await asyncio.sleep(GIVEN_UP_SECONDS)
            raise Unavailable(f"{operation}: nobody answers")


class Cluster(FakeCluster):
    """Whatever is written is in the books."""

    def __init__(self, world: "World", wall_seconds: Callable[[], float]) -> None:
        super().__init__(wall_seconds)
        self.faults = Trouble(world)
        self._world = world

    def make_group(self, topic: str) -> FakeGroup:
        return Group(self, topic, self._world)

    def make_source(self, topic: str, instance_id: str | None = None) -> FakeSource:
        return Source(self, topic, self._world, instance_id)

    def produce(self, topic: str, value: bytes | None, **fields: Any) -> int:
        offset = super().produce(topic, value, **fields)
        if topic == RECEIPTS:
            receipt = receipts.decode(value)
            assert receipt is not None
            assert receipt.partition in self._world.books.commits, "an event has ended before its partition's commit"
            self._world.enter_receipt(receipt)
        elif topic == LETTERS:
            told = {name: content.decode() for name, content in fields["headers"]}
            _, partition, at = told["meter-origin"].split(":")
            self._world.books.bury((int(partition), int(at)), told["meter-key"], told["meter-reason"])
        return offset


class Source(FakeSource):
    """Remembers when it was given partitions."""

    def __init__(self, cluster: FakeCluster, topic: str, world: "World", instance_id: str | None) -> None:
        super().__init__(cluster, topic, instance_id=instance_id)
        self.told_at = 0.0
        self._world = world

    async def poll(self, max_records: int, timeout_seconds: float) -> Mapping[int, Sequence[FakeRecord]]:
        """Takes its time when there is nothing: most of a simulation would be empty polls."""
        return await super().poll(max_records, timeout_seconds * PATIENCE)

    async def take_over(self, generation: int, partitions: frozenset[int]) -> None:
        self.told_at = self._world.loop.seconds
        await super().take_over(generation, partitions)


class Group(FakeGroup):
    """Members send heartbeats, from within their processes; whoever sends none is no member any more."""

    def __init__(self, cluster: FakeCluster, topic: str, world: "World") -> None:
        super().__init__(cluster, topic)
        self._world = world
        self._seen: dict[FakeSource, float] = {}
        self._beating: set[FakeSource] = set()

    def enter(self, member: FakeSource, replaced: FakeSource | None) -> None:
        self._seen[member] = self._now()
        super().enter(member, replaced)
        if member not in self._beating:
            self._beating.add(member)
            self.spawn(self._beat(member), member.context)

    def accept(self, member: FakeSource, generation: int, commits: Mapping[int, Committed]) -> None:
        """A commit that is taken renews the session."""
        try:
            super().accept(member, generation, commits)
        except Redelivered:
            self._world.struck["kafka: commit: refused, no longer a member"] += 1
            raise
        self._seen[member] = self._now()
        with self._world.judged():
            self._world.books.commit(dict(commits))

    async def watch(self) -> None:
        """For ever: sessions run out."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for member in list(self.members):
                if self._now() - self._seen[member] >= SESSION_SECONDS:
                    self._world.struck["kafka: a session has run out"] += 1
                    self.evict(member, notices=False)

    def has_told(self, member: FakeSource) -> bool:
        """It is a member, and knows of the last rebalance."""
        return member in self.members and member.generation == self.generation

    async def outcome(self, told: Mapping[FakeSource, "asyncio.Task[None]"]) -> None:
        """Whoever takes longer than the group waits is left out, and so is who is no member any more."""
        deadline = self._now() + REBALANCE_SECONDS
        while pending := {task for member, task in told.items() if member in self.members and not task.done()}:
            if self._now() >= deadline:
                self._world.struck["kafka: left out of a rebalance"] += len(pending)
                self.members = [member for member in self.members if told.get(member) not in pending]
                self.rebalance()
            await asyncio.wait(pending, timeout=LOOK_SECONDS)

    async def _beat(self, member: FakeSource) -> None:
        while not member.is_closed:
            await asyncio.sleep(self._world.chance.uniform(0.0, BEAT_SECONDS))
            process = self._world.process()
            if process is not None and process.is_cut_off:
                continue
            if member in self.members:
                self._seen[member] = self._now()
            else:
                member.rejoin()

    def _now(self) -> float:
        return self._world.loop.seconds
