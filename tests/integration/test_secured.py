"""A cluster behind TLS and a login: the daemon bills over it, and says which of the two failed when it cannot."""

from pathlib import Path

import pytest

from tests.brokers import MakeTopic, SecuredBroker
from tests.integration.books import usages
from tests.integration.daemon import Installation, installation

EVENTS = 2_000

pytestmark = pytest.mark.timeout(300)


def login(broker: SecuredBroker) -> dict[str, object]:
    """meter's options for the user who may log in."""
    name, password = broker.scram_user
    return {
        "kafka__bootstrap_servers": broker.bootstrap_servers,
        "kafka__security_protocol": "SASL_SSL",
        "kafka__sasl_mechanism": "SCRAM-SHA-256",
        "kafka__sasl_username": name,
        "kafka__sasl_password": password,
        "kafka__ssl_ca_file": broker.authority,
    }


async def secured(broker: SecuredBroker, topic: MakeTopic) -> tuple[str, str]:
    """The listener for the test's own eyes, and a topic."""
    return broker.open_servers, await topic(servers=broker.open_servers)


async def test_events_are_billed_over_tls_and_a_login(
    secured_broker: SecuredBroker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Reading, receipts, dead letters and commits all go over SASL_SSL."""
    async with installation(*await secured(secured_broker, topic), tmp_path) as place:
        await place.start_sandbox()
        await place.produce(usages(EVENTS))
        await place.start_meter(**login(secured_broker))
        await place.everything_ended()
        await place.books_balance()


async def test_a_wrong_password_is_said_to_be_one(
    secured_broker: SecuredBroker, topic: MakeTopic, tmp_path: Path
) -> None:
    """`/readyz`: the login is refused, by a broker that is there; the password is in no answer and no log."""
    async with installation(*await secured(secured_broker, topic), tmp_path) as place:
        await place.start_sandbox()
        wrong = login(secured_broker) | {"kafka__sasl_password": "not-the-secret"}
        meter = await place.start_meter(**wrong)
        reason = await meter.says("refuses kafka.sasl_username or its password")
        assert await _said_once(place)
        assert "not-the-secret" not in reason + meter.program.log


async def _said_once(place: Installation) -> bool:
    """Whether the log names the trouble once, however often it was met."""
    return place.meters[0].program.log.count("kafka.waiting") == 1
