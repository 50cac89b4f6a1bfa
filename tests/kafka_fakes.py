"""A Kafka in memory: working fakes of the three edges, for tests of the worker without a broker.

Here are the cluster and its groups with their members; who writes and reads topics is in `tests/topic_fakes.py`.

They keep state and enforce the contract of `meter.edges`; `tests/contract/test_kafka_edges.py` runs one suite on them
and on the real broker. A test brings trouble on demand: `cluster.faults` fails, hangs or loses the answer of the next
operations, `cluster.down` is a cluster that nobody reaches, `FakeGroup.evict` is a session that ran out.
"""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context

from meter.errors import LostRange, RecordTooLarge, Redelivered, Replaced, Unavailable
from meter.pipeline.start import Bounds, Committed
from tests.fake_log import FakeLog, FakeRecord, Faults

Told = Callable[[frozenset[int]], Awaitable[None]]
Headers = Sequence[tuple[str, bytes]]

LARGEST_RECORD_BYTES = 1_048_576


class FakeCluster:
    """Topics and groups. `wall_seconds` stamps records."""

    def __init__(self, wall_seconds: Callable[[], float] = time.time, cluster_id: str = "fake-cluster") -> None:
        self.cluster_id = cluster_id
        self.faults = Faults()
        self.down = False
        self.topics: dict[str, list[FakeLog]] = {}
        self._groups: dict[tuple[str, str], FakeGroup] = {}
        self._wall_seconds = wall_seconds

    def create_topic(self, name: str, partitions: int) -> None:
        """A topic, or more partitions for one that exists; its groups rebalance."""
        logs = self.topics.setdefault(name, [])
        logs.extend(FakeLog() for _ in range(partitions - len(logs)))
        for (topic, _), group in self._groups.items():
            if topic == name:
                group.rebalance()

    def log(self, topic: str, partition: int) -> FakeLog:
        """Raises Unavailable when the cluster is down or there is no such partition."""
        if self.down:
            raise Unavailable("scripted: the cluster is down")
        logs = self.topics.get(topic, [])
        if partition >= len(logs):
            raise Unavailable(f"topic {topic} has no partition {partition}")
        return logs[partition]

    def group(self, topic: str, group_id: str = "meter") -> "FakeGroup":
        """The group of this name on this topic."""
        if (topic, group_id) not in self._groups:
            self._groups[topic, group_id] = self.make_group(topic)
        return self._groups[topic, group_id]

    def make_group(self, topic: str) -> "FakeGroup":
        """One without members."""
        return FakeGroup(self, topic)

    def make_source(self, topic: str, instance_id: str | None = None) -> "FakeSource":
        """A member that has not joined."""
        return FakeSource(self, topic, instance_id=instance_id)

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Headers = (),
        timestamp: int | None = None,
    ) -> int:
        """The record's offset. Raises RecordTooLarge, Unavailable."""
        size = len(key or b"") + len(value or b"") + sum(len(name) + len(content) for name, content in headers)
        if size > LARGEST_RECORD_BYTES:
            raise RecordTooLarge(f"topic {topic} takes no record of {size} bytes")
        if partition is None:
            partition = zlib.crc32(key or b"") % max(1, len(self.topics.get(topic, [])))
        at = timestamp if timestamp is not None else int(self._wall_seconds() * 1000)
        offset = self.log(topic, partition).append(key, value, headers, at)
        for (name, _), group in self._groups.items():
            if name == topic:
                group.wake()
        return offset


class FakeGroup:
    """Members, their generation, and what they have committed. Rebalances are eager, as aiokafka's are."""

    def __init__(self, cluster: FakeCluster, topic: str) -> None:
        self.commits: dict[int, Committed] = {}
        self.generation = 0
        self.members: list[FakeSource] = []
        self._cluster = cluster
        self._topic = topic
        self.is_rebalancing = False
        self._shares: dict[FakeSource, frozenset[int]] = {}
        """What each was assigned last, whether it knows or not."""
        self._context = copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_wanted = False

    def rebalance(self) -> None:
        """Every member gives back what it has and is assigned anew, in the background."""
        self._is_wanted = True
        if not self.is_rebalancing:
            self.is_rebalancing = True
            self.spawn(self._rebalance(), self._context)

    def enter(self, member: "FakeSource", replaced: "FakeSource | None") -> None:
        """A new member; one that replaces another gets what that one had, in the generation that there is."""
        if replaced is None:
            self.members.append(member)
        else:
            self.members[self.members.index(replaced)] = member
        if replaced is None or self.is_rebalancing:
            self.rebalance()
        else:
            self._shares[member] = self._shares.pop(replaced)
            self.spawn(member.take_over(self.generation, self._shares[member]), member.context)

    def accept(self, member: "FakeSource", generation: int, commits: Mapping[int, Committed]) -> None:
        """Its commits become the group's. Raises Redelivered for who is no member, or was not told of the last
        rebalance."""
        if member not in self.members or generation != self.generation:
            raise Redelivered("not a member of the group: the events will be delivered again")
        self.commits.update(commits)

    def evict(self, member: "FakeSource", *, notices: bool = True) -> None:
        """The member's session runs out. It notices by itself, or else when a commit of its is refused."""
        self.members.remove(member)
        self.rebalance()
        if notices:
            member.rejoin()

    def wake(self) -> None:
        """Something new may be there to poll."""
        for member in self.members:
            member.awake.set()

    def spawn(self, work: Coroutine[object, object, None], context: Context) -> "asyncio.Task[None]":
        """In the background of the process that the context is of, as aiokafka's coordinator does it."""
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def outcome(self, told: Mapping["FakeSource", "asyncio.Task[None]"]) -> None:
        """Returns when every member has done as it was told."""
        await asyncio.gather(*told.values())

    async def _rebalance(self) -> None:
        while self._is_wanted:
            self._is_wanted = False
            await self.outcome({one: self.spawn(one.give_back(), one.context) for one in self.members})
            self.generation += 1
            members, count = list(self.members), len(self._cluster.topics.get(self._topic, []))
            self._shares = {one: frozenset(range(i, count, len(members))) for i, one in enumerate(members)}
            takers = self._shares.items()
            await self.outcome({m: self.spawn(m.take_over(self.generation, s), m.context) for m, s in takers})
        self.is_rebalancing = False


class FakeSource:
    """`EventSource` on a FakeCluster."""

    def __init__(
        self, cluster: FakeCluster, topic: str, group_id: str = "meter", instance_id: str | None = None
    ) -> None:
        self.instance_id = instance_id
        """Of a static member: it replaces whoever has this name, at once, and does not leave when it is closed."""
        self.awake = asyncio.Event()
        self.has_stalled = False
        """Silently delivers nothing any more, for as long as it lives."""
        self.context = copy_context()
        """Of the process that it is a member for."""
        self._cluster = cluster
        self._topic = topic
        self._group = cluster.group(topic, group_id)
        self._told: tuple[Told, Told] | None = None
        self.generation = -1
        """The last that it was told of."""
        self._positions: dict[int, int | None] = {}
        self._paused: set[int] = set()
        self._is_rebalancing = True
        self._is_rejoining = False
        self._telling = asyncio.Lock()
        self._listening: asyncio.Future[None] | None = None
        self._fault: Exception | None = None
        self._commits_under_way: set[asyncio.Future[None]] = set()

    @property
    def cluster_id(self) -> str:
        return self._cluster.cluster_id

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that this source believes are its own."""
        return frozenset(self._positions)

    async def start(self, on_revoked: Told, on_assigned: Told) -> None:
        async with self._cluster.faults.around("start"):
            self._reach()
            self._told = on_revoked, on_assigned
            self._group.enter(self, self._namesake())

    async def poll(self, max_records: int, timeout_seconds: float) -> Mapping[int, Sequence[FakeRecord]]:
        async with self._cluster.faults.around("poll"):
            self.awake.clear()
            taken = self._take(max_records)
            if not taken and self._fault is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout_seconds):
                        await self.awake.wait()
                taken = self._take(max_records)
            if self._fault is not None:
                raise self._fault
            return taken

    def pause(self, partitions: Iterable[int]) -> None:
        self._paused |= set(partitions) & self._positions.keys()

    def resume(self, partitions: Iterable[int]) -> None:
        self._paused -= set(partitions)
        self.awake.set()

    async def position(self, partition: int) -> int:
        self._must_be_ours([partition])
        position = self._positions[partition]
        if position is None:
            raise Unavailable(f"nobody has said where partition {partition} starts")
        return position

    def seek(self, partition: int, offset: int) -> None:
        self._must_be_ours([partition])
        self._positions[partition] = offset
        self.awake.set()

    async def commit(self, commits: Mapping[int, Committed]) -> None:
        assert commits, "aiokafka refuses to commit nothing"
        request = asyncio.ensure_future(self._commit(commits, self.generation))
        self._commits_under_way.add(request)
        try:
            await asyncio.wait((request,))
        finally:
            self._commits_under_way.discard(request)
            withdrawn = request.cancelled() or request.cancel()
        if withdrawn:
            raise Redelivered("the group rebalanced during the commit: the events will be delivered again")
        request.result()

    async def _commit(self, commits: Mapping[int, Committed], generation: int) -> None:
        async with self._cluster.faults.around("commit"):
            self._reach()
            try:
                self._must_be_ours(commits)
                self._group.accept(self, generation, commits)
            except Redelivered:
                self.rejoin()
                raise

    async def committed(self, partitions: Iterable[int]) -> Mapping[int, Committed]:
        async with self._cluster.faults.around("committed"):
            self._reach()
            return {p: self._group.commits[p] for p in partitions if p in self._group.commits}

    async def bounds(self, partitions: Iterable[int]) -> Mapping[int, Bounds]:
        async with self._cluster.faults.around("bounds"):
            logs = {partition: self._cluster.log(self._topic, partition) for partition in partitions}
            return {partition: Bounds(log.beginning, log.end) for partition, log in logs.items()}

    async def offsets_at(self, partitions: Iterable[int], wall_seconds: float) -> Mapping[int, int]:
        async with self._cluster.faults.around("offsets_at"):
            return {p: self._cluster.log(self._topic, p).at_time(wall_seconds) for p in partitions}

    async def oldest_at(self, partitions: Iterable[int]) -> float | None:
        async with self._cluster.faults.around("oldest_at"):
            logs = [self._cluster.log(self._topic, partition) for partition in partitions]
            return min((log.records[0].timestamp / 1000 for log in logs if log.records), default=None)

    async def partition_count(self) -> int:
        async with self._cluster.faults.around("partition_count"):
            self._reach()
            return len(self._cluster.topics.get(self._topic, []))

    async def close(self) -> None:
        """Leaves the group, whatever its listener is doing."""
        self._told, self._fault = None, None
        if self._listening is not None:
            self._listening.cancel()
        self._positions.clear()
        if self in self._group.members and self.instance_id is None:
            self._group.members.remove(self)
            self._group.rebalance()

    # What the group does with its member

    @property
    def is_closed(self) -> bool:
        """It has left, or was never started."""
        return self._told is None

    def rejoin(self) -> None:
        """It has noticed that it is no member any more."""
        if self._namesake() is not None:
            self._fault = Replaced(f"another process has joined as {self.instance_id}")
            self.awake.set()
        elif self._told is not None and self not in self._group.members and not self._is_rejoining:
            self._is_rebalancing = self._is_rejoining = True
            self._group.spawn(self._rejoin(), self.context)

    async def give_back(self) -> None:
        """The first half of a rebalance."""
        self._is_rebalancing = True
        if self._told is not None and self._positions:
            await self._tell(self._told[0], frozenset(self._positions))
        for request in self._commits_under_way:
            request.cancel()

    async def take_over(self, generation: int, partitions: frozenset[int]) -> None:
        """The other half: paused until resumed, and where the group has committed."""
        if self._told is None or self not in self._group.members:
            return
        self.generation = generation
        commits = self._group.commits
        self._positions = {p: commits[p].offset if p in commits else None for p in partitions}
        self._paused = set(partitions)
        self._is_rebalancing = False
        await self._tell(self._told[1], partitions)

    def _namesake(self) -> "FakeSource | None":
        others = (member for member in self._group.members if member is not self)
        return next((one for one in others if one.instance_id == self.instance_id is not None), None)

    async def _rejoin(self) -> None:
        await self.give_back()
        self._positions = {}
        self._is_rejoining = False
        self._group.enter(self, self._namesake())

    async def _tell(self, told: Told, partitions: frozenset[int]) -> None:
        async with self._telling:  # one thing after the other
            if self.is_closed:
                return
            self._listening = asyncio.ensure_future(told(partitions))
            try:
                await self._listening
            except Redelivered:
                self.rejoin()
            except asyncio.CancelledError:
                if not self.is_closed:
                    raise
            except Exception as fault:  # raised by the next `poll`
                self._fault = fault
            self.awake.set()

    def _take(self, max_records: int) -> dict[int, list[FakeRecord]]:
        taken: dict[int, list[FakeRecord]] = {}
        if self._is_rebalancing or self._cluster.down or self.has_stalled:
            return taken
        for partition, position in self._positions.items():
            if position is None or partition in self._paused or max_records <= 0:
                continue
            log = self._cluster.log(self._topic, partition)
            if not log.beginning <= position <= log.end:
                raise LostRange({partition: position})
            records = log.after(position, max_records)
            is_last = not records or records[-1].offset == (log.records[-1].offset if log.records else -1)
            self._positions[partition] = log.end if is_last else records[-1].offset + 1
            max_records -= len(records)
            if records:
                taken[partition] = records
        return taken

    def _must_be_ours(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            if partition not in self._positions:
                raise Redelivered(f"partition {partition} is no longer ours")

    def _reach(self) -> None:
        if self._cluster.down:
            raise Unavailable("scripted: the cluster is down")
