"""The topics meter needs: the source must exist; dead letters and receipts are made, grown, and checked.

Replicas do this at the same moment: whoever comes second takes what the first has made.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from meter.errors import Unavailable
from meter.kafka.connection import RETRY_SECONDS, answered, client_options, shut, starting
from meter.kafka.internals import client_of
from meter.settings import KafkaSettings

ANSWER_SECONDS = 10.0
DAY_SECONDS = 86400
UNLIMITED = -1
BROKER_DEFAULT = -1

KEPT = {"retention.bytes": "-1", "cleanup.policy": "delete"}
"""Of the topics that meter makes for itself: only time ends a record."""

_MADE_BY_SOMEBODY_ELSE = 36  # TOPIC_ALREADY_EXISTS
_FORBIDDEN = (29, 31)  # TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED


class Kept(NamedTuple):
    """How long a topic keeps its records: -1 is for ever; `compacted` drops records without a key at the door."""

    milliseconds: int
    bytes: int
    compacted: bool


@asynccontextmanager
async def connected_admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client for a moment; raises `Unavailable`, `Unauthenticated`."""
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        async with starting(kafka):
            await admin.start()
        yield admin
    finally:
        await shut(admin.close(), client_of(admin))


async def ensure_topics(kafka: KafkaSettings, window_seconds: float) -> list[str]:
    """Make what is missing; returns what an operator should know, one sentence each.

    Raises `Unavailable` with the topic's name when meter cannot work with what is there.
    """
    async with connected_admin(kafka) as admin:
        partitions = await partition_count(admin, kafka.topic)
        if partitions == 0:
            raise Unavailable(f"topic {kafka.topic} does not exist: create it, or check kafka.topic")
        source = await _kept(admin, kafka.topic)
        await _ensure(admin, kafka, kafka.dead_letter_topic, partitions, UNLIMITED)
        await _ensure(admin, kafka, kafka.receipts_topic, partitions, _receipts_kept(source, window_seconds))
        warnings = await _grow(admin, kafka, partitions)
        warnings += _too_short_lived(kafka.dead_letter_topic, await _kept(admin, kafka.dead_letter_topic), UNLIMITED)
        needed = _receipts_kept(source, window_seconds)
        warnings += _too_short_lived(kafka.receipts_topic, await _kept(admin, kafka.receipts_topic), needed)
    return warnings


async def dead_letter_warnings(kafka: KafkaSettings) -> list[str]:
    """What is wrong with how long dead letters are kept: they wait for a person, who may be on holiday."""
    async with connected_admin(kafka) as admin:
        if not await partition_count(admin, kafka.dead_letter_topic):
            return []
        return _too_short_lived(kafka.dead_letter_topic, await _kept(admin, kafka.dead_letter_topic), UNLIMITED)


async def grow_receipts(kafka: KafkaSettings, partitions: int) -> None:
    """Give the receipts topic at least so many partitions; raises `Unavailable` with the reason when it cannot."""
    async with connected_admin(kafka) as admin:
        warnings = await _grow(admin, kafka, partitions)
    if warnings:
        raise Unavailable(warnings[0])


async def partition_count(admin: AIOKafkaAdminClient, topic: str) -> int:
    """How many partitions the topic has now; 0 when it does not exist."""

    async def ask() -> int:
        (described,) = await admin.describe_topics([topic])
        error = errors.for_code(described["error_code"])
        if error is errors.UnknownTopicOrPartitionError:
            return 0
        if error is not errors.NoError:
            raise error(topic)
        return len(described["partitions"])

    return await answered(f"look up topic {topic}", ANSWER_SECONDS, ask)


async def _ensure(
    admin: AIOKafkaAdminClient, kafka: KafkaSettings, topic: str, partitions: int, kept_milliseconds: int
) -> None:
    if await partition_count(admin, topic):
        return
    if not kafka.create_topics:
        raise Unavailable(f"topic {topic} does not exist, and kafka.create_topics is off")
    await _make(admin, topic, partitions, {"retention.ms": str(kept_milliseconds), **KEPT})


async def ensure_source(kafka: KafkaSettings, partitions: int) -> int:
    """Make the source topic as the broker would have it, if it is missing; answers how many partitions it has.

    For a broker on one's own machine: on others meter leaves that to whoever owns the topic. Raises `Unavailable`.
    """
    async with connected_admin(kafka) as admin:
        if not await partition_count(admin, kafka.topic):
            await _make(admin, kafka.topic, partitions, {})
        return await partition_count(admin, kafka.topic)


async def _make(admin: AIOKafkaAdminClient, topic: str, partitions: int, configs: Mapping[str, str]) -> None:
    # without assignments (None instead of {}) aiokafka insists on a replication factor of ours
    new = NewTopic(topic, partitions, BROKER_DEFAULT, replica_assignments={}, topic_configs=dict(configs))
    answer = await answered(f"create topic {topic}", ANSWER_SECONDS, lambda: admin.create_topics([new]))
    for _, code, *message in answer.topic_errors:
        if code in _FORBIDDEN:
            raise Unavailable(f"topic {topic} does not exist, and this Kafka user may not create it")
        if code not in (0, _MADE_BY_SOMEBODY_ELSE):
            reason = message[0] if message and message[0] else errors.for_code(code).__name__
            raise Unavailable(f"topic {topic} does not exist, and cannot be created: {reason}")
    await _until_partitions(admin, topic, 1)


async def _grow(admin: AIOKafkaAdminClient, kafka: KafkaSettings, partitions: int) -> list[str]:
    """The receipts topic gets at least so many partitions, or a sentence says why not."""
    topic = kafka.receipts_topic
    have = await partition_count(admin, topic)
    if have >= partitions:
        return []
    short = f"topic {topic} has {have} partitions but needs {partitions}: events of the other partitions wait"
    if not kafka.create_topics:
        return [f"{short} (kafka.create_topics is off)"]
    try:
        await admin.create_partitions({topic: NewPartitions(partitions)}, timeout_ms=int(ANSWER_SECONDS * 1000))
    except errors.InvalidPartitionsError:
        pass  # somebody else was faster, which the broker that we ask shows in a moment
    except (errors.KafkaError, OSError, TimeoutError) as error:
        if await partition_count(admin, topic) < partitions:  # else it was done, and the answer was lost
            return [f"{short} ({error})"]
    await _until_partitions(admin, topic, partitions)
    return []


async def _until_partitions(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> None:
    """A new topic is not at once known to every broker."""
    deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
    while await partition_count(admin, topic) < partitions:
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"topic {topic} was created, but brokers do not show it yet")
        await asyncio.sleep(RETRY_SECONDS)


async def _kept(admin: AIOKafkaAdminClient, topic: str) -> Kept | None:
    """None when this user may not read the topic's configuration."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    answers = await answered(
        f"read the configuration of topic {topic}", ANSWER_SECONDS, lambda: admin.describe_configs([resource])
    )
    for code, _, _, _, entries in answers[0].resources:
        if code:
            return None
        configs: Mapping[str, str] = {entry[0]: entry[1] for entry in entries}
        return Kept(
            int(configs["retention.ms"]), int(configs["retention.bytes"]), "compact" in configs["cleanup.policy"]
        )
    return None


def _receipts_kept(source: Kept | None, window_seconds: float) -> int:
    """Milliseconds: as long as the source keeps its events, and as long as the window looks back."""
    if source is not None and source.milliseconds == UNLIMITED:
        return UNLIMITED
    return max(source.milliseconds if source is not None else 0, int(window_seconds * 1000))


def _too_short_lived(topic: str, kept: Kept | None, needed_milliseconds: int) -> list[str]:
    if kept is None:
        return [f"the configuration of topic {topic} cannot be read, so its retention is not checked"]
    if kept.compacted:
        return [f"topic {topic} is compacted, so records get lost or refused: set cleanup.policy=delete"]
    if kept.milliseconds != UNLIMITED and not 0 <= needed_milliseconds <= kept.milliseconds:
        kept_for, needed = _days(kept.milliseconds), _days(needed_milliseconds)
        return [f"topic {topic} keeps records for {kept_for}, but must keep them for {needed}"]
    if kept.bytes != UNLIMITED:
        return [f"topic {topic} drops its oldest records above {kept.bytes} bytes (retention.bytes)"]
    return []


def _days(milliseconds: int) -> str:
    if milliseconds == UNLIMITED:
        return "an unlimited time"
    days = milliseconds / 1000 / DAY_SECONDS
    return "1 day" if days == 1 else f"{days:.4g} days"
