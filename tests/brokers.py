"""What tests know of the cluster that they run against, and how one with a login is set up."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from meter.localkafka import LocalKafka, Login
from tests.waiting import eventually

EXISTING_CLUSTER = "METER_TEST_KAFKA"

RESTART_SECONDS = 150.0
"""A limit, not an expectation: 4 s on a quiet machine."""

PLAIN_USER = ("meter", 'a "quoted" secret')
SCRAM_USER = ("meter-scram", "another-secret")

MakeTopic = Callable[..., Awaitable[str]]
MakeBroker = Callable[[], "Broker"]


@dataclass(frozen=True)
class Broker:
    """A cluster to test against; `kafka` is None when it is somebody else's, which no test may stop.

    `kill` and `restart` block: in a coroutine, `await asyncio.to_thread(broker.restart)`.
    """

    bootstrap_servers: str
    kafka: LocalKafka | None

    @property
    def restartable(self) -> bool:
        """Whether the test may kill and restart it."""
        return self.kafka is not None

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self._own().kill()

    def restart(self) -> None:
        """The same ports and data again; returns when it answers."""
        self._own().restart(RESTART_SECONDS)

    def _own(self) -> LocalKafka:
        assert self.kafka is not None, f"the cluster of {EXISTING_CLUSTER} is not ours to stop"
        return self.kafka


@dataclass(frozen=True)
class SecuredBroker:
    """A cluster with a SASL_SSL listener; clients trust the PEM file `authority`. `open_servers` needs no login."""

    bootstrap_servers: str
    open_servers: str
    authority: Path
    plain_user: tuple[str, str]
    scram_user: tuple[str, str]


def login_with_certificates(folder: Path) -> Login:
    """A TLS listener for 127.0.0.1, throw-away certificates in `folder`, one user for PLAIN and one for SCRAM."""
    issuer = trustme.CA(key_type=trustme.KeyType.RSA)
    issued = issuer.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # the only form that Kafka reads
    certificate, authority = folder / "broker.pem", folder / "authority.pem"
    certificate.write_bytes(pem + b"".join(part.bytes() for part in issued.cert_chain_pems))
    issuer.cert_pem.write_to_path(str(authority))
    return Login(certificate, authority, dict([PLAIN_USER]), dict([SCRAM_USER]))


@asynccontextmanager
async def admin_of(servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Whoever may make and change topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create_topic(servers: str, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
    """Create a topic and return when the cluster shows all its partitions."""
    async with admin_of(servers) as admin:
        answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=dict(config or {}))])
        errors = [error for _, error, *_ in answer.topic_errors]
        assert errors == [0], f"topic {name}: {answer}"

        async def shown() -> bool:
            (described,) = await admin.describe_topics([name])
            return described["error_code"] == 0 and len(described["partitions"]) == partitions

        await eventually(shown, 30, f"topic {name} with {partitions} partitions")


async def records_in(servers: str, topic: str) -> list[ConsumerRecord]:
    """Everything that is in the topic now."""
    async with admin_of(servers) as admin:
        (described,) = await admin.describe_topics([topic])
    partitions = [TopicPartition(topic, place["partition"]) for place in described["partitions"]]
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [record async for record in _until_now(consumer, partitions)]
    finally:
        await consumer.stop()


async def _until_now(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> AsyncIterator[ConsumerRecord]:
    """In order within each partition; not through the archive, which is itself under test."""
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    for place, beginning in (await consumer.beginning_offsets(partitions)).items():
        consumer.seek(place, beginning)  # `seek_to_beginning` asks for a reset, which a reset to the end may overtake
    unread = set(partitions)
    while unread := {place for place in unread if await consumer.position(place) < ends[place]}:
        for records in (await consumer.getmany(*unread, timeout_ms=1000)).values():
            for record in records:
                yield record
