"""The topics meter needs, on the real broker: made, grown, checked, also by several replicas at once."""

import asyncio
import uuid
from contextlib import AsyncExitStack

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from meter.errors import Unavailable
from meter.kafka.receipts import KafkaReceipts
from meter.kafka.topics import connected_admin, ensure_topics, partition_count
from meter.kafka.writer import Writer
from meter.settings import KafkaSettings
from tests.brokers import Broker, MakeTopic, create_topic
from tests.waiting import eventually

DAY_SECONDS = 86400


@pytest.fixture
async def kafka(broker: Broker, topic: MakeTopic) -> KafkaSettings:
    """Settings for a source topic of two partitions that keeps its records for seven days."""
    name = await topic(partitions=2, config={"retention.ms": str(7 * DAY_SECONDS * 1000)})
    return KafkaSettings(bootstrap_servers=broker.bootstrap_servers, topic=name, group_id=name)


async def retention_of(admin: AIOKafkaAdminClient, topic: str) -> str:
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    configs = {entry[0]: entry[1] for entry in answers[0].resources[0][4]}
    return str(configs["retention.ms"])


async def grow(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> None:
    """Returns when everybody can see them."""
    await admin.create_partitions({topic: NewPartitions(partitions)})

    async def shown() -> bool:
        return await partition_count(admin, topic) == partitions

    await eventually(shown, 60, f"topic {topic} shows {partitions} partitions")


async def test_missing_topics_are_made_to_keep_long_enough(kafka: KafkaSettings) -> None:
    """L6: dead letters for ever, receipts as long as the source, and nothing is left to complain about."""
    assert await ensure_topics(kafka, window_seconds=DAY_SECONDS) == []
    async with connected_admin(kafka) as admin:
        assert await partition_count(admin, kafka.receipts_topic) == 2
        assert await retention_of(admin, kafka.dead_letter_topic) == "-1"
        assert await retention_of(admin, kafka.receipts_topic) == str(7 * DAY_SECONDS * 1000)


async def test_replicas_that_start_together_all_succeed(kafka: KafkaSettings) -> None:
    """W6: whoever is second takes what the first has made."""
    assert await asyncio.gather(*(ensure_topics(kafka, DAY_SECONDS) for _ in range(4))) == [[]] * 4


async def test_receipts_grow_with_the_source(kafka: KafkaSettings) -> None:
    """W6: two replicas add the partitions at the same moment."""
    await ensure_topics(kafka, DAY_SECONDS)
    async with connected_admin(kafka) as admin:
        await grow(admin, kafka.topic, 5)
        assert await asyncio.gather(*(ensure_topics(kafka, DAY_SECONDS) for _ in range(2))) == [[], []]
        assert await partition_count(admin, kafka.receipts_topic) == 5


async def test_the_first_receipt_of_a_new_partition_makes_it(kafka: KafkaSettings, at_the_end: AsyncExitStack) -> None:
    """S4, W6: the source grew while the daemon runs."""
    await ensure_topics(kafka, DAY_SECONDS)
    writer = Writer(kafka)
    at_the_end.push_async_callback(writer.close)
    receipts = KafkaReceipts(kafka, writer)
    assert await receipts.write(1, b"receipt") == 0
    assert await asyncio.gather(*(receipts.write(partition, b"receipt") for partition in (4, 3))) == [0, 0]


async def test_without_leave_to_add_partitions_only_the_new_ones_wait(
    kafka: KafkaSettings, at_the_end: AsyncExitStack
) -> None:
    """W6: said at the start and by the write, while the others are written."""
    await ensure_topics(kafka, DAY_SECONDS)
    settled = kafka.model_copy(update={"create_topics": False})
    async with connected_admin(kafka) as admin:
        await grow(admin, kafka.topic, 3)
    (warning,) = await ensure_topics(settled, DAY_SECONDS)
    assert f"{kafka.receipts_topic} has 2 partitions but needs 3" in warning
    writer = Writer(settled)
    at_the_end.push_async_callback(writer.close)
    receipts = KafkaReceipts(settled, writer)
    with pytest.raises(Unavailable, match="has no partition 2"):
        await receipts.write(2, b"receipt")
    assert await receipts.write(0, b"receipt") == 0


async def test_a_topic_that_is_deleted_under_our_hands_is_named(
    kafka: KafkaSettings, at_the_end: AsyncExitStack
) -> None:
    """Not taken for a broker that gives no answer: that would be looked for elsewhere."""
    await ensure_topics(kafka, DAY_SECONDS)
    writer = Writer(kafka, write_seconds=2.0)
    at_the_end.push_async_callback(writer.close)
    await writer.write(kafka.dead_letter_topic, b"letter")
    async with connected_admin(kafka) as admin:
        await admin.delete_topics([kafka.dead_letter_topic])

    async def said() -> str:
        try:
            await writer.write(kafka.dead_letter_topic, b"letter")
        except Unavailable as error:
            return str(error) if "no longer has it" in str(error) else ""
        return ""

    reason = await eventually(said, 60, "the reason is the topic")
    assert reason == f"cannot write to topic {kafka.dead_letter_topic}: the broker no longer has it"


async def test_topics_that_forget_too_soon_are_reported(kafka: KafkaSettings) -> None:
    """L6: dead letters that expire, receipts that are gone before the source's records or the window's end."""
    short = {"retention.ms": str(DAY_SECONDS * 1000)}
    await create_topic(kafka.bootstrap_servers, kafka.dead_letter_topic, 1, short)
    await create_topic(kafka.bootstrap_servers, kafka.receipts_topic, 2, short)
    letters, receipts = await ensure_topics(kafka, window_seconds=60)
    assert (
        letters == f"topic {kafka.dead_letter_topic} keeps records for 1 day, but must keep them for an unlimited time"
    )
    assert receipts == f"topic {kafka.receipts_topic} keeps records for 1 day, but must keep them for 7 days"


async def test_a_compacted_receipts_topic_is_reported(kafka: KafkaSettings) -> None:
    """It would refuse every receipt."""
    await create_topic(kafka.bootstrap_servers, kafka.receipts_topic, 2, {"cleanup.policy": "compact"})
    (warning,) = await ensure_topics(kafka, window_seconds=60)
    assert "cleanup.policy=delete" in warning


async def test_a_missing_source_topic_is_named(broker: Broker) -> None:
    """The daemon waits for it and says so."""
    missing = f"missing-{uuid.uuid4().hex[:8]}"
    with pytest.raises(Unavailable, match=f"topic {missing} does not exist"):
        await ensure_topics(KafkaSettings(bootstrap_servers=broker.bootstrap_servers, topic=missing), DAY_SECONDS)


async def test_what_must_not_be_created_is_named(kafka: KafkaSettings) -> None:
    """Somebody else makes the topics where kafka.create_topics is off."""
    with pytest.raises(Unavailable, match=f"{kafka.dead_letter_topic} does not exist, and kafka.create_topics is off"):
        await ensure_topics(kafka.model_copy(update={"create_topics": False}), DAY_SECONDS)
