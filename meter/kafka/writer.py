"""Acknowledged writes: a record is written once all in-sync replicas have it, or the caller learns that it may not be.

One idempotent producer serves receipts and dead letters. A record that the broker refuses has used up a sequence
number, and everything after it is refused as well; so the producer is replaced, and what it left is written by the
next one.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, errors

from meter.errors import RecordTooLarge, Unavailable
from meter.kafka.connection import RETRY_SECONDS, client_options, closing_on_failure, reaching, shut, starting
from meter.kafka.internals import give_up_unsent
from meter.settings import KafkaSettings

WRITE_SECONDS = 10.0
GIVE_UP_SECONDS = 60.0  # a write that waits this long has a producer that no longer works
LINGER_MILLISECONDS = 5
MAX_BATCH_BYTES = 262_144
MAX_REQUEST_BYTES = 67_108_864  # far above what brokers take: they decide, and say so

Headers = Sequence[tuple[str, bytes]]

_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_UNUSABLE = (
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerEpoch,
    errors.ProducerFenced,
    errors.ProducerClosed,
)


class _Outgoing(NamedTuple):
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class _Sent(NamedTuple):
    acknowledged: asyncio.Task[int]
    producer: AIOKafkaProducer
    since_seconds: float  # on the loop's clock


class Writer:
    """Writes to any topic of the cluster. `start` it, `close` it; both may be called again after `Unavailable`."""

    def __init__(self, kafka: KafkaSettings, write_seconds: float = WRITE_SECONDS) -> None:
        self._kafka = kafka
        self._write_seconds = write_seconds
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._under_way: dict[_Outgoing, _Sent] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self._doubtful = asyncio.Lock()

    async def start(self) -> None:
        """Raises `Unavailable` or `Unauthenticated`."""
        await self._working_producer()

    async def write(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Headers = (),
    ) -> int:
        """Returns the record's offset, -1 when the broker only knows that it has it.

        Raises `RecordTooLarge` when the broker does not take it, `Unavailable` when nobody acknowledged it in time:
        it may still be written later. The same record given again joins the write that is under way.
        """
        outgoing = _Outgoing(topic, partition, key, value, tuple(headers))
        try:
            try:
                offset = await self._written(outgoing)
            except RecordTooLarge:  # it may be its neighbours in the same batch: once more, one after the other
                async with self._doubtful:
                    offset = await self._written(outgoing)
        except Unavailable as error:
            if self._is_gone(topic):
                raise Unavailable(f"cannot write to topic {topic}: the broker no longer has it") from error
            raise
        self._seen.add(topic)
        return offset

    async def _written(self, outgoing: _Outgoing) -> int:
        topic, value = outgoing.topic, outgoing.value
        async with reaching(f"write to topic {topic}", self._write_seconds):
            while True:
                sent = self._sent(await self._working_producer(), outgoing)
                await asyncio.wait({sent.acknowledged})  # goes on when we are cancelled: the record is on its way
                if not sent.acknowledged.cancelled():
                    try:
                        return sent.acknowledged.result()
                    except errors.KafkaError as error:
                        self._replace_if_unusable(sent.producer, error)
                        if isinstance(error, _TOO_LARGE):
                            raise RecordTooLarge(
                                f"topic {topic} does not accept a record of {len(value or b'')} bytes"
                            ) from error
                await asyncio.sleep(RETRY_SECONDS)

    async def partitions(self, topic: str) -> set[int]:
        """The topic's partitions as far as the producer knows, asked anew; empty when it has none."""
        async with reaching(f"look up topic {topic}", self._write_seconds):
            producer = await self._working_producer()
            producer.client.add_topic(topic)
            await producer.client.force_metadata_update()
            return set(producer.client.cluster.partitions_for_topic(topic) or ())

    def _is_gone(self, topic: str) -> bool:
        """It was there, and the broker says that it is not: a producer asks again until its time is up."""
        producer = self._producer
        if producer is None or topic not in self._seen:
            return False
        return producer.client.cluster.partitions_for_topic(topic) is None

    async def close(self) -> None:
        """What is under way gets a last chance; bounded in time, never raises."""
        if self._producer is not None:
            self._replace(self._producer)
        if self._retiring:
            await asyncio.wait(self._retiring)

    def _sent(self, producer: AIOKafkaProducer, outgoing: _Outgoing) -> _Sent:
        """The record's write, under way already or begun now."""
        now = asyncio.get_running_loop().time()
        known = self._under_way.get(outgoing)
        if known is not None:
            if now - known.since_seconds > GIVE_UP_SECONDS:
                self._replace(known.producer)
            return known
        sent = _Sent(asyncio.ensure_future(_acknowledged(producer, outgoing)), producer, now)
        self._under_way[outgoing] = sent
        sent.acknowledged.add_done_callback(lambda done: self._forget(outgoing, done))
        return sent

    def _forget(self, outgoing: _Outgoing, acknowledged: asyncio.Task[int]) -> None:
        del self._under_way[outgoing]
        if not acknowledged.cancelled():
            acknowledged.exception()  # looked at: who still waits has it; if nobody does, the record comes again

    async def _working_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._started()
            return self._producer

    async def _started(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **client_options(self._kafka),
            acks="all",
            enable_idempotence=True,
            linger_ms=LINGER_MILLISECONDS,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
        )
        async with closing_on_failure(lambda: shut(producer.stop(), producer.client)), starting(self._kafka):
            await producer.start()
        return producer

    def _replace_if_unusable(self, producer: AIOKafkaProducer, error: errors.KafkaError) -> None:
        """Raises the error again when it is not the producer's fault."""
        died = type(error) is errors.KafkaError  # the bare class: the producer's own task has ended
        if not died and not isinstance(error, (*_UNUSABLE, *_TOO_LARGE)):
            raise error
        self._replace(producer)

    def _replace(self, producer: AIOKafkaProducer) -> None:
        if self._producer is not producer:
            return  # somebody else was faster
        self._producer = None
        retiring = asyncio.ensure_future(self._retire(producer))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def _retire(self, producer: AIOKafkaProducer) -> None:
        """What it can still deliver it delivers; for the rest nobody waits any longer."""
        await shut(producer.stop(), producer.client)
        give_up_unsent(producer)
        for sent in list(self._under_way.values()):
            if sent.producer is producer:
                sent.acknowledged.cancel()


async def _acknowledged(producer: AIOKafkaProducer, outgoing: _Outgoing) -> int:
    topic, partition, key, value, headers = outgoing
    metadata = await producer.send_and_wait(topic, value, key=key, partition=partition, headers=list(headers))
    offset: int = metadata.offset
    return offset
