"""A Kafka client for the length of one command: started with a clear sentence when it cannot be, and always closed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from meter.errors import Unavailable

if TYPE_CHECKING:  # aiokafka is loaded when a command runs
    from meter.settings import KafkaSettings


class Client(Protocol):
    """What aiokafka's consumer and producer have in common."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


ClientT = TypeVar("ClientT", bound=Client)


@asynccontextmanager
async def connected(
    kafka: "KafkaSettings", client: Callable[..., ClientT], **options: object
) -> AsyncIterator[ClientT]:
    """A started consumer or producer of aiokafka. Raises `Unavailable` or `Unauthenticated`."""
    from aiokafka.errors import KafkaError

    from meter.kafka.connection import client_options

    started = client(**client_options(kafka), **options)
    try:
        await started.start()
        yield started
    except KafkaError as error:
        raise Unavailable(f"Kafka at {kafka.bootstrap_servers}: {error}") from error
    finally:
        await started.stop()
