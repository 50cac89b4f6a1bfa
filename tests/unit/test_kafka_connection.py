"""What goes to the Kafka client, and what comes back as an error."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import errors
from pydantic import SecretStr

from meter.errors import BadConfiguration, Unauthenticated, Unavailable
from meter.kafka.connection import answered, client_options, reaching, unavailable
from meter.settings import KafkaSettings


def test_a_plain_connection_has_neither_login_nor_certificate() -> None:
    """The defaults talk to a broker on this machine."""
    options = client_options(KafkaSettings())
    assert options["security_protocol"] == "PLAINTEXT"
    assert options["ssl_context"] is None
    assert not [name for name in options if name.startswith("sasl")]


def test_a_login_is_passed_on() -> None:
    """The password leaves its wrapping only here."""
    settings = KafkaSettings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="meter",
        sasl_password=SecretStr("secret"),
    )
    options = client_options(settings)
    assert (options["sasl_mechanism"], options["sasl_plain_username"], options["sasl_plain_password"]) == (
        "SCRAM-SHA-512",
        "meter",
        "secret",
    )


@pytest.mark.parametrize("option", ["ssl_ca_file", "ssl_cert_file"])
def test_a_certificate_file_that_is_none_is_bad_configuration(tmp_path: Path, option: str) -> None:
    """The sentence names the option."""
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate")
    settings = KafkaSettings.model_validate({"security_protocol": "SSL", option: garbage})
    with pytest.raises(BadConfiguration, match=f"kafka.{option}"):
        client_options(settings)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (errors.SaslAuthenticationFailed("Invalid credentials"), Unauthenticated, "refuses the login"),
        (errors.TopicAuthorizationFailedError("usage"), Unavailable, "does not allow this user"),
        (errors.GroupAuthorizationFailedError("meter"), Unavailable, "does not allow this user"),
        (errors.NodeNotReadyError("node 1"), Unavailable, "node 1"),
        (OSError("no route"), Unavailable, "no route"),
    ],
)
def test_foreign_errors_become_ours(error: Exception, kind: type[Unavailable], words: str) -> None:
    """One sentence that says what could not be done and why."""
    ours = unavailable(error, "read events")
    assert type(ours) is kind
    assert str(ours).startswith("cannot read events: ")
    assert words in str(ours)


async def test_an_answer_that_does_not_come_is_unavailable() -> None:
    """No wait is without a limit."""
    with pytest.raises(Unavailable, match=r"cannot commit: Kafka gave no answer within 0\.01 s"):
        async with reaching("commit", 0.01):
            await forever()


async def forever() -> None:
    """Nobody answers."""
    await asyncio.Event().wait()


async def test_a_passing_error_is_asked_again() -> None:
    """The coordinator moves, a leader is elected."""
    passing = [errors.NotCoordinatorForGroupError(), errors.LeaderNotAvailableError()]

    async def ask() -> int:
        if passing:
            raise passing.pop()
        return 7

    assert await answered("ask", 5, ask, retry_seconds=0.01) == 7


async def test_a_lasting_error_is_said_at_once() -> None:
    """Asking again would not help."""

    async def ask() -> int:
        raise errors.InvalidTopicError("us*age")

    with pytest.raises(Unavailable, match=r"cannot ask: .*InvalidTopicError"):
        await answered("ask", 60, ask)
