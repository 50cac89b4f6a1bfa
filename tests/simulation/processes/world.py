"""Replicas, Kafka and the provider, in the time of one loop."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from meter.errors import Replaced
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.receipt import ACCEPTED, Receipt
from tests import shell
from tests.records import as_json
from tests.simulation.broker import Broker, Rec
from tests.simulation.processes.billing import GONE, TIMEOUT_SECONDS, Line
from tests.simulation.processes.cluster import SESSION_SECONDS, Cluster, Group, Source
from tests.simulation.processes.loop import PULSE, Pulse, VirtualClock, VirtualLoop
from tests.simulation.provider import STILL_INSERTING_SECONDS, Provider

PARTITIONS = 3
LEASE_SECONDS = SESSION_SECONDS - TIMEOUT_SECONDS - STILL_INSERTING_SECONDS
HAND_OVER_SECONDS = TIMEOUT_SECONDS + STILL_INSERTING_SECONDS + 1.0
DRAIN_SECONDS = 8.0


class Replica(Pulse):
    """One process; `name` is that of a static member."""

    def __init__(self, world: "World", number: int, name: str | None) -> None:
        super().__init__()
        self.number = number
        self.name = name
        self.is_cut_off = False
        self.line = Line(world, self, world.moods)
        self.context = world.context.copy()
        self.context.run(PULSE.set, self)
        self.shell = self.context.run(self._made, world)
        self.task = world.loop.create_task(self.shell.supervisor().run(self.shell.stop), context=self.context)

    def _made(self, world: "World") -> shell.Process:
        static: dict[str, Any] = {}
        if self.name is not None:
            static = {"instance_id": self.name, "take_over_seconds": SESSION_SECONDS}
        made = shell.Process(
            world.place,
            name=f"m{self.number}",
            bills_at=self.line,
            chance=random.Random(world.chance.getrandbits(32)),
            batch=BatchLimits(5, 100_000, 0.5),
            max_held_events=200,
            unknown_customer_wait_seconds=4.0,
            lease_seconds=LEASE_SECONDS,
            hand_over_seconds=HAND_OVER_SECONDS,
            ends_every_seconds=2.0,
            **static,
        )
        made.drain_timeout_seconds, made.reconnect_seconds = DRAIN_SECONDS, 0.5
        return made


class World:
    """Everything that exists, and what is known of it from outside."""

    def __init__(self, seed: int, max_members: int) -> None:
        self.seed = seed
        self.max_members = max_members
        self.chance = random.Random(seed)
        self.is_static = seed % 3 == 1
        self.struck: Counter[str] = Counter()
        self.struck_in_story: Counter[str] = Counter()
        """Before everything was left in peace."""
        self.loop = VirtualLoop()
        self.context = copy_context()
        """Of what happens outside of all processes."""
        self.violations: list[str] = []
        self.books = Broker({partition: [] for partition in range(PARTITIONS)})
        self.provider = Provider()
        self.moods: deque[str] = deque()
        self.replicas: list[Replica] = []
        self.ended: list[Replica] = []
        """Replaced, or stopped in order."""
        self.requests_total = 0
        self.made = 0
        self._receipted_at: dict[str, float] = {}
        clock = VirtualClock(self.loop)
        self.cluster = Cluster(self, lambda: clock.now().wall_seconds)
        self.place = shell.World(PARTITIONS, clock=clock, cluster=self.cluster)
        group = self.place.group
        assert isinstance(group, Group)
        self.group = group

    # For whoever needs to know

    def process(self) -> Replica | None:
        """The one that is running now."""
        pulse = PULSE.get()
        return pulse if isinstance(pulse, Replica) else None

    def running(self) -> list[Replica]:
        """Those that are not stopped."""
        return [replica for replica in self.replicas if replica.beats]

    def outside(self, work: Coroutine[object, object, None]) -> None:
        """Begin something that belongs to no process."""
        self.loop.create_task(work, context=self.context.copy())

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Whoever breaks a guarantee inside is remembered, wherever the error goes."""
        try:
            yield
        except AssertionError as broken:
            self.violations.append(str(broken))
            raise

    def receipted_before(self, replica: Replica, key: str) -> bool:
        """Whether the key's receipt was written before the replica had the partitions that it has."""
        source = replica.shell.sources[-1]
        assert isinstance(source, Source)
        return self._receipted_at.get(key, float("inf")) < source.told_at

    # What happens

    def start(self, name: str | None) -> Replica:
        """One more process."""
        self.made += 1
        replica = Replica(self, self.made, name)
        replica.task.add_done_callback(lambda task: self._ended(replica, task), context=self.context.copy())
        self.replicas.append(replica)
        return replica

    def start_missing(self) -> None:
        """Static members that two processes fought for until neither was left: somebody starts them again."""
        for number in range(self.max_members if self.is_static else 0):
            if f"s{number}" not in {replica.name for replica in self.replicas}:
                self.start(f"s{number}")

    def kill(self, replica: Replica) -> None:
        """Nothing of it runs any more; the provider goes on with what it has, or not."""
        replica.beats = False
        self.replicas.remove(replica)
        for request in [one for one in self.provider.requests if one.member == replica.number]:
            replica.line.hang_up(request, GONE)

    def produce(self, partition: int, key: int, units: int, customer: str) -> None:
        """An event; a customer of "" makes it invalid. A key always goes into the same partition."""
        log = self.books.logs[key % PARTITIONS]
        value = as_json({"customerRef": customer, "units": units, "idempotencyKey": f"k{key}"})
        log.append(Rec(len(log), int(self.place.clock.now().wall_seconds * 1000), value))
        self.cluster.produce(shell.TOPIC, value, partition=key % PARTITIONS)

    def enter_receipt(self, receipt: Receipt) -> None:
        """It is written; by a member, or by somebody who was one."""
        process = self.process()
        assert process is not None
        with self.judged():
            self.books.write_receipt(receipt, is_member=self.group.has_told(process.shell.sources[-1]))
        for key, end in zip(receipt.keys, receipt.ends, strict=True):
            if end == ACCEPTED:
                self._receipted_at.setdefault(key, self.loop.seconds)

    def insert_late(self) -> None:
        """What the provider still inserts for clients that are gone."""
        with self.judged():
            self.provider.pass_time(self.loop.seconds)

    def is_settled(self) -> bool:
        """Every offset is committed."""
        return all(
            self.books.commits[partition].offset == len(log) if partition in self.books.commits else not log
            for partition, log in self.books.logs.items()
        )

    def check(self) -> None:
        """Nobody has broken anything so far."""
        assert not self.violations, self.violations[0]

    def _ended(self, replica: Replica, task: "asyncio.Task[None]") -> None:
        """Only who was asked to, or was replaced, may end."""
        if replica in self.replicas:
            self.replicas.remove(replica)
            self.ended.append(replica)
        fault = None if task.cancelled() else task.exception()
        may_end = task.cancelled() or isinstance(fault, Replaced) or (fault is None and replica.shell.stop.is_set())
        if not may_end:
            self.violations.append(f"a process has ended by itself: {fault!r}")
