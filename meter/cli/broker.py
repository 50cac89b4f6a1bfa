"""A Kafka client for the length of one command: a clear sentence when it cannot be started, and always closed."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from meter.kafka.connection import client_options, shut, starting, unavailable
from meter.settings import KafkaSettings

LARGEST_REQUEST_BYTES = 256 * 1024 * 1024  # the broker decides what is too large, not the client


@asynccontextmanager
async def producer(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer whose records all replicas acknowledge. Raises `Unavailable`, `Unauthenticated`."""
    client = AIOKafkaProducer(
        **client_options(kafka),
        acks="all",
        enable_idempotence=True,
        linger_ms=20,
        max_batch_size=128 * 1024,
        max_request_size=LARGEST_REQUEST_BYTES,
    )
    try:
        async with starting(kafka):
            await client.start()
        with _translated("write to Kafka"):
            yield client
    finally:
        await shut(client.stop(), client.client)


async def partitions_of(connections: AIOKafkaClient, topic: str) -> frozenset[int] | None:
    """The topic's partitions, None when there is no such topic.

    Found by listing: asking for a topic by name creates it on brokers that do so.
    """
    cluster = await connections.fetch_all_metadata()
    partitions = cluster.partitions_for_topic(topic)
    return None if partitions is None else frozenset(partitions)


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise unavailable(error, doing) from error
