"""The Kafka edges when the broker is away, refuses us, or comes back."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trustme
import uvloop
from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from meter.errors import Redelivered, Unauthenticated, Unavailable
from meter.kafka.consumer import KafkaSource
from meter.kafka.receipts import KafkaReceipts
from meter.kafka.topics import ensure_topics
from meter.kafka.writer import Writer
from meter.pipeline.start import Committed
from meter.settings import KafkaSettings
from tests.brokers import Broker, MakeBroker, MakeTopic, SecuredBroker
from tests.contract.kafka_worlds import Member
from tests.waiting import disconnected, eventually

FAR_TOO_LONG_SECONDS = 60.0
"""For what takes a second or two; whoever waits without a bound waits longer."""


def login(broker: SecuredBroker, **changes: object) -> KafkaSettings:
    """A login that works, with changes."""
    name, password = broker.scram_user if changes.get("sasl_mechanism") == "SCRAM-SHA-256" else broker.plain_user
    return KafkaSettings.model_validate(
        {
            "bootstrap_servers": broker.bootstrap_servers,
            "security_protocol": "SASL_SSL",
            "sasl_username": name,
            "sasl_password": password,
            "ssl_ca_file": broker.authority,
            **changes,
        }
    )


async def fault_of(settings: KafkaSettings) -> Unavailable:
    """What a source and a writer both say when they cannot start."""
    async with AsyncExitStack() as stack:
        writer = Writer(settings)
        stack.push_async_callback(writer.close)
        with pytest.raises(Unavailable) as of_writer:
            await writer.start()
    with pytest.raises(Unavailable) as of_source:
        await KafkaSource(settings, 30).start(_nothing, _nothing)
    assert str(of_writer.value) == str(of_source.value)
    assert type(of_writer.value) is type(of_source.value)
    await disconnected(settings.bootstrap_servers)
    return of_source.value


async def _nothing(partitions: frozenset[int]) -> None:
    """A listener without an opinion."""


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_wrong_password_is_told_apart_from_no_broker(secured_broker: SecuredBroker, mechanism: str) -> None:
    """And the sentence has no password in it."""
    fault = await fault_of(login(secured_broker, sasl_mechanism=mechanism, sasl_password="wrong-secret"))
    assert isinstance(fault, Unauthenticated)
    assert "refuses kafka.sasl_username or its password" in str(fault)
    assert "wrong-secret" not in str(fault)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_right_password_over_tls_is_let_in(secured_broker: SecuredBroker, mechanism: str) -> None:
    """Reading, writing and asking all log in the same way."""
    async with AsyncExitStack() as stack:
        writer = Writer(login(secured_broker, sasl_mechanism=mechanism))
        stack.push_async_callback(writer.close)
        await writer.start()
        source = KafkaSource(login(secured_broker, sasl_mechanism=mechanism), 30)
        stack.push_async_callback(source.close)
        await source.start(_nothing, _nothing)
        assert source.cluster_id
    await disconnected(secured_broker.bootstrap_servers)


async def test_every_way_of_not_getting_in_has_its_sentence(secured_broker: SecuredBroker, tmp_path: Path) -> None:
    """Each names the setting to look at."""
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    open_listener = secured_broker.open_servers
    assert "kafka.ssl_ca_file" in str(await fault_of(login(secured_broker, ssl_ca_file=stranger)))
    assert "kafka.sasl_mechanism" in str(await fault_of(login(secured_broker, sasl_mechanism="SCRAM-SHA-512")))
    assert "kafka.security_protocol" in str(await fault_of(login(secured_broker, security_protocol="SASL_PLAINTEXT")))
    assert "kafka.security_protocol" in str(await fault_of(login(secured_broker, security_protocol="PLAINTEXT")))
    assert "kafka.security_protocol" in str(await fault_of(login(secured_broker, bootstrap_servers=open_listener)))


async def test_nobody_there_is_said_at_once() -> None:
    """With the address; not a refusal."""
    fault = await fault_of(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    assert not isinstance(fault, Unauthenticated)
    assert str(fault) == "Kafka at 127.0.0.1:1 is not reachable: nothing is listening there"


@pytest.fixture
async def doomed(own_broker: MakeBroker) -> Broker:
    """A broker that the test will kill."""
    return await asyncio.to_thread(own_broker)


@pytest.fixture
async def doomed_topic(doomed: Broker, topic: MakeTopic) -> KafkaSettings:
    """Settings for a source of one partition on it, with its other topics made."""
    name, servers = await topic(partitions=1, servers=doomed.bootstrap_servers), doomed.bootstrap_servers
    settings = KafkaSettings(bootstrap_servers=servers, topic=name, group_id=name, session_timeout_seconds=6)
    await ensure_topics(settings, window_seconds=60)
    return settings


async def acknowledged(write: Awaitable[int]) -> bool:
    """Whether the broker has it; given again, the same record joins the write that is under way."""
    try:
        await write
    except Unavailable:
        return False
    return True


@pytest.mark.timeout(360)
async def test_the_edges_outlive_a_broker_that_is_killed(
    doomed: Broker, doomed_topic: KafkaSettings, at_the_end: AsyncExitStack
) -> None:
    """Away: nothing hangs and nothing is claimed. Back: the same objects go on, and the receipt is there once."""
    writer = Writer(doomed_topic, write_seconds=0.5)
    at_the_end.push_async_callback(writer.close)
    receipts = KafkaReceipts(doomed_topic, writer)
    at_the_end.push_async_callback(receipts.close)
    await receipts.start()
    member = Member(KafkaSource(doomed_topic, 30, commit_seconds=0.5))
    at_the_end.push_async_callback(member.source.close)
    await member.join()
    await member.until([0])
    await eventually(lambda: acknowledged(receipts.write(0, b"before")), 60, "a receipt is acknowledged")
    await asyncio.to_thread(doomed.kill)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await receipts.write(0, b"meanwhile")
        with pytest.raises(Unavailable):
            await member.source.commit({0: Committed(0, "")})
    assert await member.source.poll(10, 0.2) == {}
    await asyncio.to_thread(doomed.restart)

    await eventually(lambda: acknowledged(receipts.write(0, b"meanwhile")), 60, "the receipt is acknowledged")
    assert [value async for chunk in receipts.read(0, 0) for _, value in chunk].count(b"meanwhile") == 1
    await eventually(lambda: acknowledged(writer.write(doomed_topic.topic, b"event")), 60, "an event is there")

    async def committed() -> bool:
        try:
            await member.poll()
            member.source.resume([0])
            await member.source.commit({0: Committed(0, "")})
        except (Unavailable, Redelivered):
            return False
        return bool(member.records)

    await eventually(committed, 60, "events come and commits are taken again")


@pytest.mark.timeout(300)
async def test_closing_without_a_broker_is_bounded_and_quiet(
    doomed: Broker, doomed_topic: KafkaSettings, at_the_end: AsyncExitStack
) -> None:
    """aiokafka raises CancelledError out of `stop` then, and leaves its connections open."""
    writer, member = Writer(doomed_topic, write_seconds=0.5), Member(KafkaSource(doomed_topic, 30))
    at_the_end.push_async_callback(writer.close)
    at_the_end.push_async_callback(member.source.close)
    await member.join()
    await member.until([0])
    member.source.resume([0])
    await member.poll()
    await eventually(lambda: acknowledged(writer.write(doomed_topic.topic, b"event")), 60, "an event is there")
    await asyncio.to_thread(doomed.kill)
    with pytest.raises(Unavailable):
        await writer.write(doomed_topic.topic, b"never acknowledged")
    async with asyncio.timeout(FAR_TOO_LONG_SECONDS):
        await asyncio.gather(member.source.close(), writer.close())
    await eventually(lambda: len(asyncio.all_tasks()) == 1, 60, "no task is left behind")


async def test_a_poll_keeps_its_timeout_while_the_group_rebalances(
    broker: Broker, topic: MakeTopic, at_the_end: AsyncExitStack
) -> None:
    """aiokafka's own does not: the worker would neither commit nor answer for so long."""
    name = await topic(partitions=1)
    settings = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers, topic=name, group_id=name, session_timeout_seconds=6
    )
    giving_back, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(partitions: frozenset[int]) -> None:
        giving_back.set()
        await may_go_on.wait()

    first, second = KafkaSource(settings, 30), KafkaSource(settings, 30)
    at_the_end.push_async_callback(first.close)
    at_the_end.push_async_callback(second.close)
    at_the_end.callback(may_go_on.set)
    await first.start(slow, _nothing)
    await eventually(lambda: first.consumer.assignment(), 60, "the first has joined")
    await second.start(_nothing, _nothing)
    await eventually(giving_back.is_set, 60, "a rebalance has begun")
    async with asyncio.timeout(FAR_TOO_LONG_SECONDS):
        for _ in range(3):
            assert await first.poll(10, 0.1) == {}


def test_a_connection_that_is_lost_while_it_is_written_to_is_told_as_lost(broker: Broker) -> None:
    """On uvloop, too, where such a write raises what ends the Kafka client's tasks one after the other."""

    async def written_to() -> None:
        host, _, port = broker.bootstrap_servers.partition(":")
        connection = await create_conn(host, int(port))
        connection._writer.transport.abort()  # noqa: SLF001  # as a broker that is killed does it
        await asyncio.sleep(0)  # now the loop has closed it, and its reader has not heard of it
        with pytest.raises(errors.KafkaConnectionError):
            await connection.send(MetadataRequest([]))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(written_to())
