"""The demo's topics: made before meter starts, and read to their end when the books are checked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from meter.pipeline.event import Record

PARTITIONS: Final = 4
_POLL_MILLISECONDS = 500


async def create(bootstrap_servers: str, topic: str) -> str:
    """Make the topic with its four partitions; the answer is the cluster's id."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])
        cluster = await admin.describe_cluster()
    finally:
        await admin.close()
    return str(cluster["cluster_id"])


async def read(bootstrap_servers: str, topic: str) -> list[Record]:
    """Every record of the topic from its beginning to its end as of now; none when there is no such topic."""
    records: list[Record] = []
    async with _consumer(bootstrap_servers) as consumer:
        await consumer.getmany(timeout_ms=0)
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not partitions:
            return []
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            chunks = await consumer.getmany(timeout_ms=_POLL_MILLISECONDS)
            records += [record for chunk in chunks.values() for record in chunk]
    return records


@asynccontextmanager
async def _consumer(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, isolation_level="read_committed", enable_auto_commit=False, group_id=None
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
