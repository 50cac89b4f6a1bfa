"""Two worlds with one face for the contract of the Kafka edges: one in memory, one on a real broker."""

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.protocol.group import LeaveGroupRequest

from meter.edges import DeadLetterLog, EventSource, ReceiptLog
from meter.errors import Redelivered
from meter.kafka.consumer import KafkaSource
from meter.kafka.dead_letters import KafkaDeadLetters
from meter.kafka.internals import member_of
from meter.kafka.receipts import KafkaReceipts
from meter.kafka.topics import ensure_topics
from meter.kafka.writer import Writer
from meter.pipeline.event import Record
from meter.pipeline.start import Committed
from meter.settings import KafkaSettings
from tests.brokers import records_in
from tests.fake_log import Faults
from tests.integration.kafka_proxy import proxied
from tests.kafka_fakes import FakeCluster, FakeSource
from tests.topic_fakes import FakeDeadLetters, FakeReceipts
from tests.waiting import eventually

PARTITIONS = 2


class Gate(Protocol):
    """Stands between members and their group."""

    @property
    def held_commits(self) -> int: ...
    def hold_commits(self) -> None: ...
    def let_commits_pass(self) -> None: ...


class World(Protocol):
    """A topic with two partitions, its receipts and dead letters, and one group."""

    @property
    def receipts(self) -> ReceiptLog: ...
    @property
    def dead_letters(self) -> DeadLetterLog: ...

    def source(self) -> EventSource: ...
    async def gate(self) -> Gate: ...
    async def evict(self, source: EventSource) -> None: ...
    async def produce(self, partition: int, values: Iterable[bytes]) -> None: ...
    async def end_a_transaction(self, partition: int) -> None: ...
    async def expire(self, partition: int, before: int) -> None: ...
    async def letters(self) -> Sequence[Record]: ...
    async def close(self) -> None: ...


class GateInMemory:
    """Made of scripted faults."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def hold_commits(self) -> None:
        self._faults.hang("commit")

    @property
    def held_commits(self) -> int:
        return self._faults.hanging

    def let_commits_pass(self) -> None:
        self._faults.release()


class WorldInMemory:
    """Everything in this process."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        for topic in ("usage", "receipts", "letters"):
            self.cluster.create_topic(topic, PARTITIONS)
        self.receipts = FakeReceipts(self.cluster, "receipts")
        self.dead_letters = FakeDeadLetters(self.cluster, "letters")
        self._sources: list[FakeSource] = []

    def source(self) -> FakeSource:
        self._sources.append(FakeSource(self.cluster, "usage"))
        return self._sources[-1]

    async def gate(self) -> Gate:
        return GateInMemory(self.cluster.faults)

    async def evict(self, source: EventSource) -> None:
        assert isinstance(source, FakeSource)
        self.cluster.group("usage").evict(source, notices=False)

    async def produce(self, partition: int, values: Iterable[bytes]) -> None:
        for value in values:
            self.cluster.produce("usage", value, key=b"key", partition=partition, headers=[("name", b"content")])

    async def end_a_transaction(self, partition: int) -> None:
        for topic in ("usage", "receipts"):
            self.cluster.produce(topic, b"transacted", partition=partition)
            self.cluster.log(topic, partition).append_marker()

    async def expire(self, partition: int, before: int) -> None:
        self.cluster.log("usage", partition).expire(before)

    async def letters(self) -> Sequence[Record]:
        return [record for log in self.cluster.topics["letters"] for record in log.records]

    async def close(self) -> None:
        for source in self._sources:
            await source.close()


class WorldOnKafka:
    """Topics of its own on a real broker. `open` it first."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.settings = KafkaSettings(
            bootstrap_servers=bootstrap_servers,
            topic=f"usage-{uuid.uuid4().hex[:12]}",
            group_id=f"group-{uuid.uuid4().hex[:12]}",
            session_timeout_seconds=6,
        )
        self._writer = Writer(self.settings)
        self.receipts = KafkaReceipts(self.settings, self._writer)
        self.dead_letters = KafkaDeadLetters(self.settings, self._writer)
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        self._sources: list[KafkaSource] = []
        self._members_settings = self.settings
        self._gates = AsyncExitStack()

    async def open(self) -> "WorldOnKafka":
        await self._admin.start()
        await self._admin.create_topics([NewTopic(self.settings.topic, PARTITIONS, 1)])

        async def usable() -> bool:
            return bool((await self._admin.describe_topics([self.settings.topic]))[0]["partitions"])

        await eventually(usable, 60, "the topic is there")
        await ensure_topics(self.settings, window_seconds=60)
        await self._writer.start()
        await self.receipts.start()
        return self

    def source(self) -> KafkaSource:
        self._sources.append(KafkaSource(self._members_settings, rebalance_timeout_seconds=10))
        return self._sources[-1]

    async def gate(self) -> Gate:
        """For members that are made from now on."""
        way = await self._gates.enter_async_context(proxied(self.settings.bootstrap_servers, self.settings.topic))
        self._members_settings = self.settings.model_copy(update={"bootstrap_servers": way.servers})
        return way

    async def evict(self, source: EventSource) -> None:
        """As if its session had run out: somebody leaves in its name."""
        assert isinstance(source, KafkaSource)
        member = member_of(source.consumer)
        assert member is not None
        coordinator = await self._admin.find_coordinator(self.settings.group_id)
        client = self._admin._client  # noqa: SLF001  # aiokafka removes no members in public
        await client.send(coordinator, LeaveGroupRequest(self.settings.group_id, member.member_id))

    async def produce(self, partition: int, values: Iterable[bytes]) -> None:
        for value in values:
            await self._writer.write(
                self.settings.topic, value, key=b"key", partition=partition, headers=[("name", b"content")]
            )

    async def end_a_transaction(self, partition: int) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.bootstrap_servers, transactional_id=uuid.uuid4().hex, acks="all"
        )
        await producer.start()
        try:
            async with producer.transaction():
                for topic in (self.settings.topic, self.settings.receipts_topic):
                    await producer.send_and_wait(topic, b"transacted", partition=partition)
        finally:
            await producer.stop()

    async def expire(self, partition: int, before: int) -> None:
        await self._admin.delete_records({TopicPartition(self.settings.topic, partition): RecordsToDelete(before)})

    async def letters(self) -> Sequence[Record]:
        return await records_in(self.settings.bootstrap_servers, self.settings.dead_letter_topic)

    async def close(self) -> None:
        for source in self._sources:
            await source.close()
        await self._gates.aclose()
        await self.receipts.close()
        await self._writer.close()
        await self._admin.close()


class Member:
    """A source that has joined, seeks to its commits (else to 0), and remembers what it was told."""

    def __init__(self, source: EventSource) -> None:
        self.source = source
        self.assigned: frozenset[int] = frozenset()
        self.told: list[tuple[str, frozenset[int]]] = []
        self.records: list[tuple[int, Record]] = []
        self.fault: Exception | None = None
        self.last_commit: Committed | None = None
        self.last_commit_was: str = ""
        self.while_revoked: Callable[[], Awaitable[object]] | None = None

    async def join(self) -> "Member":
        """Returns while the group is still forming: `until` waits."""
        await self.source.start(self._on_revoked, self._on_assigned)
        return self

    async def until(self, partitions: Iterable[int]) -> None:
        """Polls until exactly these are assigned."""
        wanted = frozenset(partitions)

        async def has_them() -> bool:
            await self.poll(timeout_seconds=0.02)
            return self.assigned == wanted

        await eventually(has_them, 60, f"partitions {sorted(wanted)} are assigned")

    async def values(self, count: int) -> list[bytes | None]:
        """The values of the first `count` records, polled until they are there."""

        async def enough() -> bool:
            await self.poll()
            return len(self.records) >= count

        await eventually(enough, 60, f"{count} records, of {len(self.records)}")
        return [record.value for _, record in self.records]

    async def poll(self, timeout_seconds: float = 0.1) -> None:
        """Keeps what comes."""
        for partition, records in (await self.source.poll(100, timeout_seconds)).items():
            self.records += [(partition, record) for record in records]

    async def _on_revoked(self, partitions: frozenset[int]) -> None:
        self.told.append(("revoked", partitions))
        self.assigned = frozenset()
        if self.while_revoked is not None:
            await self.while_revoked()
        if self.last_commit is not None:
            try:
                await self.source.commit(dict.fromkeys(partitions, self.last_commit))
                self.last_commit_was = "accepted"
            except Redelivered:
                self.last_commit_was = "refused"

    async def _on_assigned(self, partitions: frozenset[int]) -> None:
        if self.fault is not None:
            raise self.fault
        committed = await self.source.committed(partitions)
        with suppress(Redelivered):
            for partition in partitions:
                self.source.seek(partition, committed.get(partition, Committed(0, "")).offset)
        self.told.append(("assigned", partitions))
        self.assigned = partitions
