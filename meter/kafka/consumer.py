"""Records in and commits out, as a member of the consumer group.

Three things aiokafka does not do are done here. What a rebalance listener raises reaches the main loop. A partition
is paused from the moment it is assigned until the worker resumes it. And a commit counts only while we are a member:
after losing membership aiokafka commits without one, which a group that happens to be empty accepts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient

from meter.errors import LostRange, Redelivered, Unavailable
from meter.kafka.connection import answered, client_options, reaching, shut, starting
from meter.kafka.consumer_faults import judge_commit, poll_fault
from meter.kafka.internals import (
    client_of,
    hand_over_plain_records,
    join_again_as,
    member_of,
    positions_of,
    spoilt_partition,
    unfinished_tasks,
    watch_partitions,
)
from meter.kafka.topics import partition_count
from meter.kafka.unreadable import read_leniently, rewind
from meter.pipeline.event import Record
from meter.pipeline.start import Bounds, Committed
from meter.settings import KafkaSettings

ANSWER_SECONDS = 10.0
COMMIT_SECONDS = 5.0
POLL_GRACE_SECONDS = 0.5  # getmany forgets its timeout during a rebalance
MAX_HEARTBEAT_SECONDS = 3.0
NEVER_MILLISECONDS = 2**31 - 1  # the worker always polls; when it does not, the watchdog ends the process
FETCH_BYTES = 16_777_216
PARTITION_FETCH_BYTES = 2_097_152

Told = Callable[[frozenset[int]], Awaitable[None]]


class KafkaSource:
    """The source topic, read by a member of the group.

    `rebalance_timeout_seconds`: how long a member may take to give partitions back; at least the session timeout.
    """

    def __init__(
        self, kafka: KafkaSettings, rebalance_timeout_seconds: float, commit_seconds: float = COMMIT_SECONDS
    ) -> None:
        self.cluster_id = ""
        self._kafka = kafka
        self._rebalance_timeout_seconds = max(rebalance_timeout_seconds, kafka.session_timeout_seconds)
        self._commit_seconds = commit_seconds
        self._joined: tuple[AIOKafkaConsumer, AIOKafkaAdminClient] | None = None
        self._fault: Exception | None = None
        self._fault_was_raised = False
        self._commits_under_way: set[asyncio.Future[None]] = set()
        self._member_id = ""

    async def start(self, on_revoked: Told, on_assigned: Told) -> None:
        """Connect and begin to join; after `Unavailable` or `Unauthenticated` it may be called again.

        `on_assigned` must seek every partition it is told of; until they are resumed they are paused. What either
        raises is raised by `poll`.
        """
        consumer = AIOKafkaConsumer(**self._options())
        admin = AIOKafkaAdminClient(**client_options(self._kafka))
        self._joined, self._fault, self._member_id = (consumer, admin), None, ""
        try:
            async with starting(self._kafka):
                await consumer.start()
                await admin.start()
                self.cluster_id = (await admin.describe_cluster())["cluster_id"] or ""
            consumer.subscribe([self._kafka.topic], listener=_Listener(self, on_revoked, on_assigned))
        except BaseException:
            await self.close()
            raise

    async def poll(self, max_records: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        """Records by partition, oldest first; empty when none came in time, and during a rebalance.

        Raises what a listener raised, `LostRange` when a position is out of retention (seek there, or it is raised
        again), `Unavailable` when Kafka does not let us read, `Replaced` when another process has our instance id,
        `Stuck` when the client has died.
        """
        await asyncio.sleep(0)  # before, not after: records that were taken must reach the caller
        if self._fault is not None:
            self._fault_was_raised = True
            raise self._fault
        consumer = self.consumer
        before = positions_of(consumer)
        hand_over_plain_records(consumer)
        try:
            async with asyncio.timeout(timeout_seconds + POLL_GRACE_SECONDS):
                taken = await consumer.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=max_records)
        except (TimeoutError, errors.NoOffsetForPartitionError):  # not sought yet: still being decided
            return {}
        except errors.OffsetOutOfRangeError as error:
            raise LostRange({lost.partition: offset for lost, offset in error.args[0].items()}) from error
        except errors.KafkaError as error:
            rewind(consumer, before)
            raise poll_fault(error, self._kafka) from error
        except UnicodeDecodeError:
            spoilt = spoilt_partition(consumer)
            if spoilt is None:
                raise
            rewind(consumer, before)
            return {spoilt.partition: await read_leniently(consumer, spoilt, max_records)}
        return {of.partition: cast("Sequence[Record]", records) for of, records in taken.items()}

    def pause(self, partitions: Iterable[int]) -> None:
        """No records of these until they are resumed or assigned anew; those that are not ours are passed over."""
        self.consumer.pause(*self._ours(partitions))

    def resume(self, partitions: Iterable[int]) -> None:
        """Records of these again; those that are not ours are passed over."""
        self.consumer.resume(*self._ours(partitions))

    async def position(self, partition: int) -> int:
        """The offset of the next record; beyond transaction markers. `Redelivered` when it is not ours."""
        try:
            async with reaching(f"find the position of partition {partition}", ANSWER_SECONDS):
                position: int = await self.consumer.position(self._of(partition))
        except Unavailable as error:
            if isinstance(error.__cause__, errors.IllegalStateError):
                raise Redelivered(f"partition {partition} is no longer ours") from error
            raise
        return position

    def seek(self, partition: int, offset: int) -> None:
        """The next record comes from here; `Redelivered` when the partition is not ours."""
        try:
            self.consumer.seek(self._of(partition), offset)
        except errors.IllegalStateError as error:
            raise Redelivered(f"partition {partition} is no longer ours") from error

    async def commit(self, commits: Mapping[int, Committed]) -> None:
        """Returns when the broker has accepted them from this member of this generation.

        Raises `Redelivered` when we are no member any more or a partition is not ours, `Unavailable` when nobody
        answered in time: then the outcome is unknown, and `committed` tells it.
        """
        consumer = self.consumer
        member = member_of(consumer)
        if member is None:
            raise Redelivered("not a member of the group: the events will be delivered again")
        offsets = {self._of(p): OffsetAndMetadata(c.offset, c.metadata) for p, c in commits.items()}
        request: asyncio.Future[None] = asyncio.ensure_future(consumer.commit(offsets))
        self._commits_under_way.add(request)
        try:
            await asyncio.wait({request}, timeout=self._commit_seconds)
        finally:
            self._commits_under_way.discard(request)
            withdrawn = request.cancelled() or member_of(consumer) != member
            late = request.cancel()  # what is on the wire stays there, but is not sent a second time
        judge_commit(request, late=late, withdrawn=withdrawn, limit_seconds=self._commit_seconds)

    async def committed(self, partitions: Iterable[int]) -> Mapping[int, Committed]:
        """The group's commits with their metadata; absent where there is none."""
        wanted = [self._of(partition) for partition in partitions]
        admin = self._admin()

        async def ask() -> dict[TopicPartition, OffsetAndMetadata]:
            found = await admin.list_consumer_group_offsets(self._kafka.group_id, partitions=wanted)
            if any(topic_partition not in found for topic_partition in wanted):
                # aiokafka overlooks an error for the answer as a whole, and "none" would start from scratch
                raise errors.GroupLoadInProgressError
            return cast("dict[TopicPartition, OffsetAndMetadata]", found)

        found = await answered("read the group's commits", ANSWER_SECONDS, ask) if wanted else {}
        return {of.partition: Committed(at.offset, at.metadata) for of, at in found.items() if at.offset >= 0}

    async def bounds(self, partitions: Iterable[int]) -> Mapping[int, Bounds]:
        """First offset kept, and the one after the last that can be read; raises `Unavailable`."""
        consumer, wanted = self.consumer, [self._of(partition) for partition in partitions]
        async with reaching("ask where partitions begin and end", ANSWER_SECONDS):
            beginnings, ends = await asyncio.gather(consumer.beginning_offsets(wanted), consumer.end_offsets(wanted))
        return {of.partition: Bounds(beginnings[of], ends[of]) for of in wanted}

    async def offsets_at(self, partitions: Iterable[int], wall_seconds: float) -> Mapping[int, int]:
        """The first offset at or after this time; the end where nothing is later."""
        consumer = self.consumer
        moments = {self._of(partition): max(0, int(wall_seconds * 1000)) for partition in partitions}
        async with reaching("look up offsets by time", ANSWER_SECONDS):
            found, ends = await asyncio.gather(consumer.offsets_for_times(moments), consumer.end_offsets(list(moments)))
        return {of.partition: at.offset if at is not None else ends[of] for of, at in found.items()}

    async def oldest_at(self, partitions: Iterable[int]) -> float | None:
        """Unix seconds at which the oldest first record of these partitions was written; None when they are empty."""
        moments = {self._of(partition): 0 for partition in partitions}
        async with reaching("look up the oldest records", ANSWER_SECONDS):
            found = await self.consumer.offsets_for_times(moments)
        return min((at.timestamp / 1000 for at in found.values() if at is not None), default=None)

    async def partition_count(self) -> int:
        """How many partitions the topic has now; 0 when it is gone."""
        return await partition_count(self._admin(), self._kafka.topic)

    async def close(self) -> None:
        """Leave the group and disconnect. Never raises, bounded in time; `start` may follow."""
        joined, self._joined = self._joined, None
        self._fault = None
        if joined is None:
            return
        consumer, admin = joined
        await shut(consumer.stop(), client_of(consumer))
        await shut(admin.close(), client_of(admin))
        for task in unfinished_tasks(consumer):
            task.cancel()

    async def told_revoked(self, tell: Told, partitions: frozenset[int]) -> None:
        """The listener's half of a rebalance; afterwards no commit of the old assignment is under way."""
        try:
            if partitions:  # the first join revokes nothing
                await self._tell(tell, partitions)
        finally:
            for request in self._commits_under_way:
                request.cancel()
            if self._member_id:
                join_again_as(self.consumer, self._member_id)

    async def told_assigned(self, tell: Told, partitions: frozenset[int]) -> None:
        """The listener's other half: everything is paused before anybody can read."""
        self.pause(partitions)
        if self._kafka.group_instance_id is not None:
            member = member_of(self.consumer)
            self._member_id = member.member_id if member is not None else ""
            watch_partitions(self.consumer, self._kafka.topic)
        if self._fault_was_raised:
            self._fault = None
        await self._tell(tell, partitions)

    async def _tell(self, tell: Told, partitions: frozenset[int]) -> None:
        try:
            await tell(partitions)
        except Redelivered:
            pass  # not a member any more: the next assignment is on its way
        except Exception as fault:  # raised by the next `poll`
            self._fault, self._fault_was_raised = fault, False

    def _options(self) -> dict[str, object]:
        session_seconds = self._kafka.session_timeout_seconds
        return {
            **client_options(self._kafka),
            # an answer to JoinGroup may take as long as the slowest member
            "request_timeout_ms": int(self._rebalance_timeout_seconds * 1000) + 5000,
            "group_id": self._kafka.group_id,
            "group_instance_id": self._kafka.group_instance_id,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            "session_timeout_ms": int(session_seconds * 1000),
            "heartbeat_interval_ms": int(min(session_seconds / 10, MAX_HEARTBEAT_SECONDS) * 1000),
            "rebalance_timeout_ms": int(self._rebalance_timeout_seconds * 1000),
            "max_poll_interval_ms": NEVER_MILLISECONDS,
            "fetch_max_wait_ms": 250,
            "fetch_max_bytes": FETCH_BYTES,
            "max_partition_fetch_bytes": PARTITION_FETCH_BYTES,
        }

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """aiokafka's own; raises `Unavailable` before `start` and after `close`."""
        if self._joined is None:
            raise Unavailable("not connected to Kafka")
        return self._joined[0]

    def _admin(self) -> AIOKafkaAdminClient:
        if self._joined is None:
            raise Unavailable("not connected to Kafka")
        return self._joined[1]

    def _of(self, partition: int) -> TopicPartition:
        return TopicPartition(self._kafka.topic, partition)

    def _ours(self, partitions: Iterable[int]) -> list[TopicPartition]:
        assigned = self.consumer.assignment()
        return [of for of in map(self._of, partitions) if of in assigned]


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka logs and swallows what a listener raises; the source keeps it for `poll`."""

    def __init__(self, source: KafkaSource, on_revoked: Told, on_assigned: Told) -> None:
        self._source = source
        self._on_revoked = on_revoked
        self._on_assigned = on_assigned

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._source.told_revoked(self._on_revoked, frozenset(of.partition for of in revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._source.told_assigned(self._on_assigned, frozenset(of.partition for of in assigned))
