"""The demo's topics: made before meter starts, and read to their end when the books are checked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from meter.kafka.whole_topic import records_until_now
from meter.pipeline.event import Record

PARTITIONS: Final = 4


async def create(bootstrap_servers: str, topic: str) -> str:
    """Make the topic with its four partitions; the answer is the cluster's id."""
    async with _admin(bootstrap_servers) as admin:
        await admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])
        return str((await admin.describe_cluster())["cluster_id"])


async def read(bootstrap_servers: str, topic: str) -> list[Record]:
    """Every record of the topic from its beginning to its end as of now; none when there is no such topic."""
    async with _admin(bootstrap_servers) as admin:
        (described,) = await admin.describe_topics([topic])
    partitions = [TopicPartition(topic, place["partition"]) for place in described["partitions"]]
    if not partitions:
        return []
    async with _consumer(bootstrap_servers) as consumer:
        return [record async for record in records_until_now(consumer, partitions)]


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def _consumer(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False, group_id=None)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
