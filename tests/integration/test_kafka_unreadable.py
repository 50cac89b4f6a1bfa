"""A record that the Kafka client cannot take apart, on the real broker."""

import struct
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from tests.brokers import Broker
from tests.contract.kafka_worlds import Member, WorldOnKafka

CHECKSUM_AT, CHECKED_FROM = 17, 21


@pytest.fixture
async def world(broker: Broker) -> AsyncIterator[WorldOnKafka]:
    """A topic with two partitions and one group."""
    made = await WorldOnKafka(broker.bootstrap_servers).open()
    yield made
    await made.close()


async def produce_unreadable(world: WorldOnKafka, partition: int) -> None:
    """One batch: a good record, one with a header whose name is not UTF-8, a good one."""
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=99_999
    )
    for offset, headers in enumerate([[], [("ABCD", b"")], []]):
        builder.append(offset, None, b"key", b"%d of the batch" % offset, headers)
    batch = bytearray(builder.build())
    name_at = batch.index(b"ABCD")
    batch[name_at : name_at + 4] = b"\xff\xfe\xfd\xfc"
    struct.pack_into(">I", batch, CHECKSUM_AT, calc_crc32c(bytes(batch[CHECKED_FROM:])))
    topics = [(world.settings.topic, [(partition, bytes(batch))])]
    request = ProduceRequest(required_acks=-1, timeout=30_000, topics=topics, transactional_id=None)
    async with AIOKafkaProducer(bootstrap_servers=world.settings.bootstrap_servers) as producer:
        await producer.client.send(producer.client.get_random_node(), request)


async def test_an_unreadable_record_stops_nothing_and_loses_nothing(world: WorldOnKafka) -> None:
    """Its neighbours and the other partition come, once each, and itself with its name mended."""
    await world.produce(0, [b"a"])
    await world.produce(1, [b"b"])
    await produce_unreadable(world, 0)
    await produce_unreadable(world, 0)
    await world.produce(0, [b"c"])
    member = await Member(world.source()).join()
    await member.until([0, 1])
    member.source.resume([0, 1])
    await member.values(9)
    assert [(record.offset, record.value) for partition, record in member.records if partition == 0] == [
        (0, b"a"),
        (1, b"0 of the batch"),
        (2, b"1 of the batch"),
        (3, b"2 of the batch"),
        (4, b"0 of the batch"),
        (5, b"1 of the batch"),
        (6, b"2 of the batch"),
        (7, b"c"),
    ]
    assert [record.value for partition, record in member.records if partition == 1] == [b"b"]
    mended = [record.headers for _, record in member.records if record.value == b"1 of the batch"]
    assert mended == [(("\ufffd" * 4, b""),)] * 2
