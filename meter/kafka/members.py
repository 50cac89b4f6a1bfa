"""Who else is in the group, and has which partitions: for operators with several replicas."""

from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from meter.kafka.connection import answered
from meter.kafka.topics import ANSWER_SECONDS, connected_admin
from meter.settings import KafkaSettings


class Member(NamedTuple):
    """One replica, as the group's coordinator knows it."""

    name: str
    host: str
    """Where it connects to Kafka from."""
    partitions: Sequence[int]
    """Of the source topic."""


async def members(kafka: KafkaSettings) -> list[Member]:
    """Those that have partitions now; none while the group rebalances. Raises `Unavailable`, `Unauthenticated`."""
    async with connected_admin(kafka) as admin:
        (answer,) = await answered(
            f"ask who is in group {kafka.group_id}",
            ANSWER_SECONDS,
            lambda: admin.describe_consumer_groups([kafka.group_id]),
        )
    found = []
    for group in answer.groups:
        for name, _, host, _, assignment, *_ in group[5] if group[0] == 0 else ():
            partitions = _partitions(assignment, kafka.topic)
            if partitions:
                found.append(Member(name, host.lstrip("/"), partitions))
    return sorted(found, key=lambda member: member.partitions[0])


def _partitions(assignment: bytes, topic: str) -> list[int]:
    """Empty while the member has none, or is being given some."""
    if not assignment:
        return []
    given = ConsumerProtocolMemberAssignment.decode(assignment).partitions()
    return sorted(place.partition for place in given if place.topic == topic)
