"""The few things of aiokafka that it keeps private and meter cannot do without; checked against 0.14.

All of it is read here and nowhere else, so that an upgrade has one file to look at.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, conn
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import BrokerResponseError, KafkaConnectionError, ProducerClosed, kafka_errors


class FencedInstanceIdError(BrokerResponseError):  # type: ignore[misc]  # aiokafka ships no types
    """Another process has joined under the same `group.instance.id`; aiokafka has no name for this answer."""

    errno = 82
    message = "FENCED_INSTANCE_ID"


kafka_errors[FencedInstanceIdError.errno] = FencedInstanceIdError


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # aiokafka ships no types
    """One connection to a broker, whose end is always told as what it is.

    uvloop raises RuntimeError for a write to a connection that has just been lost, where asyncio says nothing. aiokafka
    expects OSError alone, so whichever of its tasks wrote would end: heartbeats, fetching, or the refresh of metadata,
    for which everybody else then waits in vain (aiokafka issue 1038).
    """

    def send(self, request: object, expect_response: bool = True) -> Awaitable[Any]:
        """As aiokafka's own. Raises KafkaConnectionError when the connection is lost."""
        try:
            return cast("Awaitable[Any]", super().send(request, expect_response))
        except RuntimeError as lost:
            self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {lost}") from lost


conn.AIOKafkaConnection = Connection


class GroupMember(NamedTuple):
    """Who a consumer is in its group."""

    generation: int
    member_id: str


def client_of(user: AIOKafkaConsumer | AIOKafkaAdminClient) -> AIOKafkaClient:
    """The connections, which a failed `stop` leaves open."""
    return user._client  # noqa: SLF001  # `stop` may raise before it closes them


def transports_of(client: AIOKafkaClient) -> list[asyncio.WriteTransport]:
    """What its open connections write to."""
    writers = [connection._writer for connection in client._conns.values()]  # noqa: SLF001  # no public way
    return [writer.transport for writer in writers if writer is not None]


def member_of(consumer: AIOKafkaConsumer) -> GroupMember | None:
    """None while it is nobody: kicked out, and not yet back in."""
    coordinator = consumer._coordinator  # noqa: SLF001  # no public way to ask
    if coordinator is None or coordinator.generation < 0 or not coordinator.member_id:
        return None
    return GroupMember(coordinator.generation, coordinator.member_id)


def join_again_as(consumer: AIOKafkaConsumer, member_id: str) -> None:
    """The next attempt to join says who we were.

    aiokafka's heartbeats and commits do not carry the instance id, so a static member that was replaced only hears that
    it is unknown, and would join as somebody new, who replaces its replacement. Asked under its old id, the broker
    answers FENCED_INSTANCE_ID if it was replaced, and "unknown" if its session is over: then aiokafka joins again.
    """
    coordinator = consumer._coordinator  # noqa: SLF001  # no public way
    if coordinator is not None and not coordinator.member_id:
        coordinator.member_id = member_id


def watch_partitions(consumer: AIOKafkaConsumer, topic: str) -> None:
    """Have the group notice new partitions of the topic.

    Only a leader that has made an assignment looks out for them, and a static member that replaces a leader is one
    without having made any.
    """
    coordinator = consumer._coordinator  # noqa: SLF001  # no public way
    if coordinator is not None and coordinator._group_subscription is None:  # noqa: SLF001  # as above
        coordinator._group_subscription = {topic}  # noqa: SLF001  # as above
        coordinator._metadata_snapshot = coordinator._get_metadata_snapshot()  # noqa: SLF001  # as above


def positions_of(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """Where the next records come from, as far as that is decided; `position` would wait for it."""
    subscription = consumer._subscription.subscription  # noqa: SLF001  # as above
    if subscription is None or subscription.assignment is None:
        return {}
    states = {of: subscription.assignment.state_value(of) for of in subscription.assignment.tps}
    return {of: state.position for of, state in states.items() if state.has_valid_position}


def spoilt_partition(consumer: AIOKafkaConsumer) -> TopicPartition | None:
    """The partition whose fetched records broke off while they were taken apart."""
    for topic_partition, fetched in consumer._fetcher._records.items():  # noqa: SLF001  # the error does not name it
        records = getattr(fetched, "_partition_records", None)
        reading = getattr(records, "_records_iterator", None)
        if reading is not None and reading.gi_frame is None:
            found: TopicPartition = topic_partition
            return found
    return None


def hand_over_plain_records(consumer: AIOKafkaConsumer) -> None:
    """What has been fetched so far comes as aiokafka's C code takes it apart: it has all that a `Record` needs.

    Otherwise every record is copied into a dataclass, which costs more than to take it apart.
    """
    for fetched in consumer._fetcher._records.values():  # noqa: SLF001  # no public way
        records = getattr(fetched, "_partition_records", None)  # an error has none
        if records is not None:
            records._consumer_record = _as_it_is  # noqa: SLF001  # as above


def _as_it_is(_: TopicPartition, record: object) -> object:
    return record


def unfinished_tasks(consumer: AIOKafkaConsumer) -> list[asyncio.Task[None]]:
    """What goes on running when `stop` did not come to its end."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001  # no public way to end them
    tasks: list[asyncio.Task[None] | None] = []
    if coordinator is not None:
        names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
        tasks += [getattr(coordinator, name) for name in names]
    if fetcher is not None:
        tasks += [fetcher._fetch_task, *fetcher._pending_tasks]  # noqa: SLF001  # as above
    return [task for task in tasks if task is not None and not task.done()]


def give_up_unsent(producer: AIOKafkaProducer) -> None:
    """What a stopped producer could not deliver fails now; aiokafka would wait for it for ever."""
    accumulator = producer._message_accumulator  # noqa: SLF001  # no public way
    unsent = [batch for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001  # as above
    accumulator._pending_batches.update(unsent)  # noqa: SLF001  # the end of one that was tried before takes it out there
    accumulator.fail_all(ProducerClosed())
    for batch in unsent:
        waiting = batch._drain_waiter  # noqa: SLF001  # looked at, or asyncio complains that nobody has
        if waiting.done() and not waiting.cancelled():
            waiting.exception()


def end_metadata_waits(client: AIOKafkaClient) -> None:
    """Who waits for metadata of a closed client goes on, and finds it closed."""
    waiting = client._md_update_fut  # noqa: SLF001  # no public way
    if waiting is not None and not waiting.done():
        waiting.set_result(False)
