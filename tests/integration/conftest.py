"""The broker that integration tests run against: one for the whole run, or one of a test's own to kill."""

import os
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from meter.errors import CommandFailed
from meter.localkafka import LocalKafka, Login
from meter.localkafka.jars import cache_folder, class_path
from tests.waiting import eventually

EXISTING_CLUSTER = "METER_TEST_KAFKA"

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
        self._own().restart()

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


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download Kafka before the first test: its time limit is for the test, not for the network."""
    wanted = {"broker", "own_broker", "secured_broker"}
    if session.config.option.collectonly or not any(wanted & set(_fixtures(item)) for item in session.items):
        return
    with suppress(CommandFailed):  # said by the fixture, at the tests that need it
        class_path(cache_folder())


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The run's broker; tests share it and keep apart by topics and groups of their own. Never kill it."""
    existing = os.environ.get(EXISTING_CLUSTER)
    if existing:
        yield Broker(existing, None)
        return
    with LocalKafka() as kafka:
        yield Broker(kafka.bootstrap_servers, kafka)


@pytest.fixture(scope="session")
def secured_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker of the run that also listens for TLS with a login, one user for PLAIN and one for SCRAM-SHA-256."""
    certificate, authority = _certificates(tmp_path_factory.mktemp("certificates"))
    plain, scram = ("meter", 'a "quoted" secret'), ("meter-scram", "another-secret")
    with LocalKafka(login=Login(certificate, authority, dict([plain]), dict([scram]))) as kafka:
        yield SecuredBroker(kafka.login_bootstrap_servers, kafka.bootstrap_servers, authority, plain, scram)


def _certificates(folder: Path) -> tuple[Path, Path]:
    """The broker's key with its certificate, and the authority: throw-away, for 127.0.0.1."""
    issuer = trustme.CA(key_type=trustme.KeyType.RSA)
    issued = issuer.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # the only form that Kafka reads
    certificate, authority = folder / "broker.pem", folder / "authority.pem"
    certificate.write_bytes(pem + b"".join(part.bytes() for part in issued.cert_chain_pems))
    issuer.cert_pem.write_to_path(str(authority))
    return certificate, authority


@pytest.fixture
def own_broker() -> Iterator[MakeBroker]:
    """A factory of brokers that belong to the test alone, for tests that kill or restart them."""
    with ExitStack() as running:

        def start() -> Broker:
            kafka = running.enter_context(LocalKafka())
            return Broker(kafka.bootstrap_servers, kafka)

        yield start


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> MakeTopic:
    """A factory of topics with names that nobody else has.

    `await topic(partitions=4, name="usage", servers=..., config={...})` gives the topic's name. Without `servers` it
    is made on the run's broker.
    """

    async def create(
        partitions: int = 4,
        name: str = "test",
        servers: str | None = None,
        config: Mapping[str, str] | None = None,
    ) -> str:
        unique = f"{name}-{uuid.uuid4().hex[:12]}"
        address = servers or request.getfixturevalue("broker").bootstrap_servers
        await create_topic(address, unique, partitions, config)
        return unique

    return create


async def create_topic(servers: str, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
    """Create a topic and return when the cluster shows all its partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=dict(config or {}))])
        errors = [error for _, error, *_ in answer.topic_errors]
        assert errors == [0], f"topic {name}: {answer}"

        async def shown() -> bool:
            (described,) = await admin.describe_topics([name])
            return described["error_code"] == 0 and len(described["partitions"]) == partitions

        await eventually(shown, 10, f"topic {name} with {partitions} partitions")
    finally:
        await admin.close()
