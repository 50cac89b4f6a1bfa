"""The broker's second listener: TLS and a login, as a real cluster has them."""

import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from tests.brokers import MakeTopic, SecuredBroker
from tests.waiting import disconnected

MECHANISMS = ["PLAIN", "SCRAM-SHA-256"]


def login(broker: SecuredBroker, mechanism: str) -> dict[str, object]:
    """aiokafka's options for the user who may log in with `mechanism`."""
    name, password = broker.plain_user if mechanism == "PLAIN" else broker.scram_user
    return {
        "bootstrap_servers": broker.bootstrap_servers,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": name,
        "sasl_plain_password": password,
        "ssl_context": ssl.create_default_context(cafile=broker.authority),
    }


@asynccontextmanager
async def producing(options: dict[str, object]) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**options)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()
        await disconnected(str(options["bootstrap_servers"]))


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_user_with_the_right_password_works(
    secured_broker: SecuredBroker, topic: MakeTopic, mechanism: str
) -> None:
    """Over TLS and a login, records go in and come out through a consumer group."""
    name = await topic(partitions=1, servers=secured_broker.open_servers)
    options = login(secured_broker, mechanism)
    async with producing(options) as producer:
        await producer.send_and_wait(name, b"hello")
    consumer = AIOKafkaConsumer(name, group_id=uuid.uuid4().hex, auto_offset_reset="earliest", **options)
    await consumer.start()

    try:
        assert (await consumer.getone()).value == b"hello"
    finally:
        await consumer.stop()


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_wrong_password_is_refused(secured_broker: SecuredBroker, mechanism: str) -> None:
    """The broker lets nobody in who only knows the name."""
    options = login(secured_broker, mechanism) | {"sasl_plain_password": "wrong"}

    with pytest.raises(KafkaConnectionError):
        async with producing(options):
            pass


async def test_a_client_that_does_not_trust_the_authority_stays_out(secured_broker: SecuredBroker) -> None:
    """The certificate is checked: with only the public authorities there is no connection."""
    options = login(secured_broker, "PLAIN") | {"ssl_context": ssl.create_default_context()}

    with pytest.raises(KafkaConnectionError):
        async with producing(options):
            pass
