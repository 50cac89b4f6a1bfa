"""The demo's topics: made before meter starts, and read to their end when the books are checked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from meter.kafka.archive import open_archive
from meter.pipeline.event import Record
from meter.settings import KafkaSettings

PARTITIONS: Final = 4


async def create(bootstrap_servers: str, topic: str) -> str:
    """Make the topic with its four partitions; the answer is the cluster's id."""
    async with _admin(bootstrap_servers) as admin:
        await admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])
        return str((await admin.describe_cluster())["cluster_id"])


async def read(bootstrap_servers: str, topic: str) -> list[Record]:
    """Every record of the topic from its beginning to its end as of now; none when there is no such topic."""
    async with open_archive(KafkaSettings(bootstrap_servers=bootstrap_servers)) as archive:
        ranges = await archive.bounds(topic, await archive.partitions(topic))
        return [record async for _, records in archive.read(topic, ranges) for record in records]


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
