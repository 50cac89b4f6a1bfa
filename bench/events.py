"""The events of the throughput bench and their way into the topic: canonical JSON, 238 bytes, keyed by customer."""

import asyncio
import random
import time
from datetime import UTC, datetime
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import murmur2

TOPIC = "usage-events"
PARTITIONS = 4
CUSTOMERS = 1000
PRODUCT = "prd_00007"
EVENT_BYTES = 238
BATCH_BYTES = 65_536
_BATCHES_UNDER_WAY = 32
_RECORD_OVERHEAD_BYTES = 40
_SEED = 20261123


def customer_of(number: int) -> str:
    """The name of one customer."""
    return f"cus_{number:08d}"


def event(customer: str, product: str, key: str, units: int, timestamp: str) -> bytes:
    """One event in the provider's own form, as a product service would send it."""
    return (
        f'{{"customerRef":"{customer}","productRef":"{product}","actionType":"api_call","units":{units},'
        f'"outcome":"success","idempotencyKey":"{key}","timestamp":"{timestamp}",'
        f'"metadata":{{"region":"eu-west-1"}}}}'
    ).encode()


def _partition(key: bytes) -> int:
    """Where a Kafka producer puts a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % PARTITIONS)


class _Open:
    """The record batch of one partition that is being filled."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.batch = producer.create_batch()
        self.bytes = 0


async def produce(bootstrap_servers: str, events: int) -> None:
    """Make the topic and put `events` distinct events into it, in batches as a busy producer makes them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=BATCH_BYTES)
    await producer.start()
    try:
        await _send_all(producer, events)
    finally:
        await producer.stop()


async def _send_all(producer: AIOKafkaProducer, events: int) -> None:
    chance = random.Random(_SEED)  # noqa: S311  # reproducible, no secret
    customers = [(name, name.encode(), _partition(name.encode())) for name in map(customer_of, range(CUSTOMERS))]
    opened = [_Open(producer) for _ in range(PARTITIONS)]
    under_way: set[asyncio.Future[object]] = set()
    for _ in range(events):
        customer, key, partition = customers[chance.randrange(CUSTOMERS)]
        now = time.time()
        value = event(customer, PRODUCT, str(UUID(int=chance.getrandbits(128))), chance.randrange(1, 10), _iso(now))
        current = opened[partition]
        current.batch.append(key=key, value=value, timestamp=int(now * 1000))
        current.bytes += len(value) + _RECORD_OVERHEAD_BYTES
        if current.bytes > BATCH_BYTES - 2 * EVENT_BYTES:
            under_way.add(await _sent(producer, current, partition))
            opened[partition] = _Open(producer)
            if len(under_way) >= _BATCHES_UNDER_WAY:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    for partition, current in enumerate(opened):
        if current.bytes:
            under_way.add(await _sent(producer, current, partition))
    await asyncio.gather(*under_way)


async def _sent(producer: AIOKafkaProducer, current: _Open, partition: int) -> asyncio.Future[object]:
    current.batch.close()
    future: asyncio.Future[object] = await producer.send_batch(current.batch, TOPIC, partition=partition)
    return future


def _iso(wall_seconds: float) -> str:
    return datetime.fromtimestamp(wall_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
