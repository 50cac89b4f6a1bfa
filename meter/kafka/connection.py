"""How meter reaches the cluster, how long it waits for an answer, and what a failure means for the caller.

aiokafka says `Unable to bootstrap` whether nobody listens, the certificate is not trusted or the password is wrong.
So after a failed start one connection of our own is made (`diagnose`), whose error is not swallowed.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.protocol.metadata import MetadataRequest

from meter.errors import BadConfiguration, MeterError, Unauthenticated, Unavailable
from meter.kafka.internals import end_metadata_waits, transports_of
from meter.settings import KafkaSettings

T = TypeVar("T")

RETRY_SECONDS = 0.1
DIAGNOSIS_SECONDS = 5.0
CLOSE_SECONDS = 5.0
GOODBYE_SECONDS = 0.2

_REFUSED_LOGIN = (
    errors.SaslAuthenticationFailed,
    errors.AuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
)
_FORBIDDEN = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Arguments that every aiokafka client takes; raises `BadConfiguration` when a certificate file is no good."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": "meter",
        "security_protocol": kafka.security_protocol,
        "ssl_context": _ssl_context(kafka),
        "request_timeout_ms": 10_000,
        "metadata_max_age_ms": 10_000,  # added partitions are seen within this time; nothing else tells of them
    }
    if kafka.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username or ""
        options["sasl_plain_password"] = kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
    return options


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext | None:
    if not kafka.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_ca_file)
    except (OSError, ValueError) as error:
        raise BadConfiguration(
            [f"kafka.ssl_ca_file: no usable certificates in {kafka.ssl_ca_file}: {error}"]
        ) from error
    if kafka.ssl_cert_file is not None:
        try:
            context.load_cert_chain(kafka.ssl_cert_file, kafka.ssl_key_file)
        except (OSError, ValueError) as error:
            fault = f"kafka.ssl_cert_file, kafka.ssl_key_file: not a certificate and its key: {error}"
            raise BadConfiguration([fault]) from error
    return context


@asynccontextmanager
async def reaching(doing: str, limit_seconds: float) -> AsyncIterator[None]:
    """Whatever goes wrong with Kafka inside, the deadline included, becomes `Unavailable` (or one of our errors).

    `doing` completes the sentence "cannot ...".
    """
    try:
        async with asyncio.timeout(limit_seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"cannot {doing}: Kafka gave no answer within {limit_seconds:g} s") from error
    except (errors.KafkaError, OSError) as error:
        raise unavailable(error, doing) from error


async def answered(
    doing: str, limit_seconds: float, ask: Callable[[], Awaitable[T]], retry_seconds: float = RETRY_SECONDS
) -> T:
    """The answer to `ask`, which is asked again after passing errors until the limit; then `Unavailable`."""
    async with reaching(doing, limit_seconds):
        while True:
            try:
                return await ask()
            except errors.KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(retry_seconds)


def unavailable(error: Exception, doing: str) -> Unavailable:
    """The foreign error as ours, in one sentence."""
    if isinstance(error, _REFUSED_LOGIN):
        return Unauthenticated(f"cannot {doing}: Kafka refuses the login ({_words(error)})")
    if isinstance(error, _FORBIDDEN):
        return Unavailable(f"cannot {doing}: Kafka does not allow this user to do that ({_words(error)})")
    return Unavailable(f"cannot {doing}: {_words(error)}")


def _words(error: Exception) -> str:
    name, said = type(error).__name__, str(error).strip()
    return said if said.startswith(("[Error", name)) or not said else f"{name}: {said}" if name not in said else said


@asynccontextmanager
async def starting(kafka: KafkaSettings) -> AsyncIterator[None]:
    """Clients are started inside; when that fails, the error says why: no broker, no trust, or no login."""
    try:
        async with reaching(f"connect to Kafka at {kafka.bootstrap_servers}", 2 * DIAGNOSIS_SECONDS):
            yield
    except Unavailable as failure:
        raise await diagnose(kafka) or failure from failure


async def diagnose(kafka: KafkaSettings) -> Unavailable | None:
    """Why no client can be started now, found out with one connection per bootstrap server; None if all is well.

    A refused login is `Unauthenticated`; everything else is `Unavailable` with a sentence of its own.
    """
    found: list[Unavailable] = []
    for host, port, _ in collect_hosts(kafka.bootstrap_servers):
        fault = await _fault_of_server(kafka, host, port)
        if fault is None or isinstance(fault, Unauthenticated):
            return fault
        found.append(fault)
    return found[0] if found else None


async def _fault_of_server(kafka: KafkaSettings, host: str, port: int) -> Unavailable | None:
    options = client_options(kafka)
    for unwanted in ("bootstrap_servers", "metadata_max_age_ms"):
        del options[unwanted]
    try:
        async with asyncio.timeout(DIAGNOSIS_SECONDS):
            connection = await create_conn(host, port, **options)
            try:
                await connection.send(MetadataRequest([]))
            finally:
                connection.close()
    except (errors.KafkaError, OSError, TimeoutError) as error:
        return _fault(f"Kafka at {host}:{port}", error)
    return None


def _fault(server: str, error: Exception) -> Unavailable:
    """What a connection of our own ran into, in one sentence that names the setting to look at."""
    match error:
        case errors.IllegalSaslStateError():
            return Unavailable(f"{server} accepts no logins: check kafka.security_protocol")
        case errors.UnsupportedSaslMechanismError():
            return Unauthenticated(f"{server} does not support kafka.sasl_mechanism: {_words(error)}")
        case errors.SaslAuthenticationFailed() | errors.AuthenticationFailedError():
            return Unauthenticated(f"{server} refuses kafka.sasl_username or its password: {_words(error)}")
        case ssl.SSLCertVerificationError():
            reason = error.verify_message or "it cannot be verified"
            return Unavailable(
                f"{server} presents a certificate that is not trusted ({reason}): check kafka.ssl_ca_file"
            )
        case ssl.SSLError():
            reason = error.reason or "handshake failed"
            return Unavailable(f"{server} does not speak TLS with us ({reason}): check kafka.security_protocol")
        case errors.KafkaError() | ConnectionResetError() | BrokenPipeError():
            return Unavailable(f"{server} accepts connections but drops them: check kafka.security_protocol")
        case TimeoutError():
            return Unavailable(f"{server} does not answer: unreachable, or a different kafka.security_protocol")
        case ConnectionRefusedError():
            return Unavailable(f"{server} is not reachable: nothing is listening there")
        case OSError():
            return Unavailable(f"{server} is not reachable: {error.strerror or error}")
    return unavailable(error, f"connect to {server}")


async def shut(stop: Coroutine[Any, Any, None], client: AIOKafkaClient) -> None:
    """Run a client's `stop` to its end or for `CLOSE_SECONDS`, then close its connections. Never raises.

    aiokafka's consumer raises CancelledError out of `stop` when brokers are away, and then leaves the connections
    open; in a task of its own that is only a task that was cancelled.
    """
    lingering = asyncio.ensure_future(_end_lingering(transports_of(client)))
    try:
        await _bounded(stop, CLOSE_SECONDS)
        await _bounded(client.close(), 1.0)
    finally:
        lingering.cancel()
    end_metadata_waits(client)


async def _end_lingering(transports: list[asyncio.WriteTransport]) -> None:
    """Over TLS uvloop may wait for a goodbye that never comes; nobody reads any more, so a moment is enough for it."""
    while not all(transport.is_closing() for transport in transports):  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(GOODBYE_SECONDS / 4)
    await asyncio.sleep(GOODBYE_SECONDS)
    for transport in transports:
        transport.abort()


async def _bounded(closing: Coroutine[Any, Any, None], limit_seconds: float) -> None:
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait({task}, timeout=limit_seconds)
    finally:
        task.cancel()
    if task.done() and not task.cancelled():
        task.exception()  # looked at: closing has no second plan


@asynccontextmanager
async def closing_on_failure(close: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """What was started half must not stay open."""
    try:
        yield
    except BaseException:
        with suppress(MeterError):
            await close()
        raise
