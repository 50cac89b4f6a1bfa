"""Looking back at topics of the real broker: all that was committed to them, and nothing else."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from meter.kafka.archive import Archive, open_archive
from meter.pipeline.start import Bounds
from meter.settings import KafkaSettings
from tests.brokers import Broker, MakeTopic
from tests.contract.kafka_worlds import WorldOnKafka
from tests.integration.test_kafka_unreadable import produce_unreadable


@pytest.fixture
async def archive(broker: Broker) -> AsyncIterator[Archive]:
    """The run's broker, looked back at."""
    async with open_archive(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) as opened:
        yield opened


async def values(archive: Archive, topic: str, bounds: Bounds) -> list[bytes | None]:
    """What is read of partition 0."""
    return [record.value async for _, records in archive.read(topic, {0: bounds}) for record in records]


async def test_aborted_records_and_markers_are_no_records(archive: Archive, broker: Broker, topic: MakeTopic) -> None:
    """C7: what nobody has to answer for is not read, and the markers at the end do not make it wait for ever."""
    name = await topic(partitions=1)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, transactional_id=name) as producer:
        for value in (b"committed", b"aborted"):
            await producer.begin_transaction()
            await producer.send_and_wait(name, value, partition=0)
            await (producer.commit_transaction() if value == b"committed" else producer.abort_transaction())
    bounds = (await archive.bounds(name, [0]))[0]
    assert bounds == (0, 4)
    assert await values(archive, name, bounds) == [b"committed"]
    assert (await archive.record_at(name, 0, 0)) is not None
    for nothing in (1, 2, 4, 99):
        assert await archive.record_at(name, 0, nothing) is None


async def test_only_what_was_asked_for_is_read(archive: Archive, broker: Broker, topic: MakeTopic) -> None:
    """Ranges end where they end, empty ones too, and one reading follows another."""
    name = await topic(partitions=2)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        for number in range(5):
            await producer.send_and_wait(name, b"%d" % number, partition=0)
    assert await values(archive, name, Bounds(1, 3)) == [b"1", b"2"]
    assert await values(archive, name, Bounds(3, 3)) == []
    assert await values(archive, name, Bounds(0, 5)) == [b"0", b"1", b"2", b"3", b"4"]
    assert await archive.partitions(name) == [0, 1]
    assert await archive.partitions(f"{name}-missing") == []
    assert await archive.offsets_at(name, [0, 1], 0.0) == {0: 0}
    assert await archive.committed("nobody", name) == {}


async def test_a_record_that_cannot_be_taken_apart_is_read_all_the_same(broker: Broker) -> None:
    """Else one header would keep a whole topic from being audited."""
    world = await WorldOnKafka(broker.bootstrap_servers).open()
    await produce_unreadable(world, 0)
    await world.produce(0, [b"behind it"])
    async with open_archive(world.settings) as archive:
        found = await values(archive, world.settings.topic, Bounds(0, 4))
    await world.close()
    assert found == [b"0 of the batch", b"1 of the batch", b"2 of the batch", b"behind it"]
