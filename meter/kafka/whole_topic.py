"""A topic from its first record to its end as of now, for commands that look at what is there without a group."""

from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

_POLL_MILLISECONDS = 1000


async def records_until_now(
    client: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> AsyncIterator[ConsumerRecord]:
    """Every record of these partitions, in order within each; what is written meanwhile is for the next time.

    The client is assigned to them. Raises what aiokafka raises.
    """
    client.assign(partitions)
    ends = await client.end_offsets(partitions)
    for place, beginning in (await client.beginning_offsets(partitions)).items():
        client.seek(place, beginning)  # `seek_to_beginning` asks for a reset, which a reset to the end may overtake
    unread = set(partitions)
    while unread := {place for place in unread if await client.position(place) < ends[place]}:
        for records in (await client.getmany(*unread, timeout_ms=_POLL_MILLISECONDS)).values():
            for record in records:
                yield record
