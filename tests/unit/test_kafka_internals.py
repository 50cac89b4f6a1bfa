"""The few private things of aiokafka: what they are used for still works as it does now."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerClosed

from meter.kafka.internals import give_up_unsent


async def test_what_a_producer_could_not_send_fails_quietly_even_after_a_first_try() -> None:
    """aiokafka stumbles over a batch that was tried before, and over one that nobody waits for."""
    loop, complaints = asyncio.get_running_loop(), []

    def complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(context)

    loop.set_exception_handler(complain)
    producer = AIOKafkaProducer()
    accumulator, place = producer._message_accumulator, TopicPartition("t", 0)  # noqa: SLF001  # what is tested
    tried = await accumulator.add_message(place, b"key", b"value", timeout=1)
    accumulator.reenqueue(accumulator._pop_batch(place))  # noqa: SLF001  # as above
    never_tried = await accumulator.add_message(TopicPartition("t", 1), b"key", b"value", timeout=1)

    give_up_unsent(producer)

    for waiting in (tried, never_tried):
        with pytest.raises(ProducerClosed):
            await waiting
    producer._closed = True  # noqa: SLF001  # it has never been started
    del tried, never_tried, waiting, accumulator, producer
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
