"""Apache Kafka on this machine, run as a child of the test."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from meter.errors import CommandFailed
from meter.localkafka import LocalKafka
from tests.brokers import Broker, MakeBroker, MakeTopic, records_in
from tests.waiting import eventually


async def produce(servers: str, topic: str, count: int) -> None:
    """Produce `count` numbered records and return when all are acknowledged."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, compression_type="lz4")
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(topic, str(number).encode()) for number in range(count)])
    finally:
        await producer.stop()


async def numbers_in(servers: str, topic: str) -> list[int]:
    """The numbers in the topic, sorted."""
    return sorted(int(record.value) for record in await records_in(servers, topic))


async def test_what_is_produced_can_be_consumed(broker: Broker, topic: MakeTopic) -> None:
    """A real broker: records of an idempotent, compressing producer come back, each once."""
    name = await topic(partitions=4)

    await produce(broker.bootstrap_servers, name, 1_000)

    assert await numbers_in(broker.bootstrap_servers, name) == list(range(1_000))


@pytest.mark.timeout(360)
async def test_acknowledged_records_survive_the_death_of_the_broker(own_broker: MakeBroker, topic: MakeTopic) -> None:
    """SIGKILL and restart: same address, and all 20,000 acknowledged records are there."""
    broker = await asyncio.to_thread(own_broker)
    name = await topic(partitions=4, servers=broker.bootstrap_servers)
    await produce(broker.bootstrap_servers, name, 20_000)

    broker.kill()
    await asyncio.to_thread(broker.restart)

    assert await numbers_in(broker.bootstrap_servers, name) == list(range(20_000))


async def test_short_session_timeouts_are_allowed(broker: Broker, topic: MakeTopic) -> None:
    """Tests that lose a member need not wait for it long: 1 s is accepted by the group's coordinator."""
    if not broker.restartable:
        pytest.skip("what somebody else's cluster allows is not ours to test")
    name = await topic(partitions=2)
    consumer = AIOKafkaConsumer(
        name,
        group_id=name,
        bootstrap_servers=broker.bootstrap_servers,
        session_timeout_ms=1_000,
        heartbeat_interval_ms=300,
    )
    await consumer.start()
    try:
        await eventually(consumer.assignment, 60, "both partitions are assigned")
    finally:
        await consumer.stop()


@pytest.mark.timeout(300)
def test_a_broker_that_does_not_come_up_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """One that cannot work ends at once with the reason in its own words, not after the time limit."""
    with pytest.raises(CommandFailed, match=r"(?s)Kafka cannot prepare .*heap"):
        LocalKafka(data=tmp_path, memory_mebibytes=1).start()


@pytest.mark.timeout(300)
def test_a_broker_with_damaged_data_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """The same for a node that starts and gives up."""
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")

    with pytest.raises(CommandFailed, match=r"(?s)Kafka exited during start-up; the end of its log:.*node"):
        LocalKafka(data=tmp_path).start()
