"""One worker after the other: whatever Kafka does, meter waits, says why, and tries again."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from meter.clock import Clock
from meter.errors import Unavailable
from meter.pipeline.machine import Machine
from meter.standing import Standing
from meter.stopping import unless_stopped
from meter.worker import Worker

log = structlog.stdlib.get_logger(__name__)

RECONNECT_SECONDS = 1.0
Connect = Callable[[], contextlib.AbstractAsyncContextManager[Worker]]


class Supervisor:
    """Keeps the machine at work until it is told to stop; `connect` recreates the Kafka side each time."""

    def __init__(
        self,
        connect: Connect,
        machine: Machine,
        standing: Standing,
        clock: Clock,
        drain_timeout_seconds: float,
        reconnect_seconds: float = RECONNECT_SECONDS,
    ) -> None:
        self._connect = connect
        self._machine = machine
        self._standing = standing
        self._clock = clock
        self._drain_timeout_seconds = drain_timeout_seconds
        self._reconnect_seconds = reconnect_seconds
        self._said: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Bills until `stop` is set. Raises UserMistake, Stuck, and whatever nobody planned for."""
        while not stop.is_set():
            try:
                await self._be_a_member(stop)
            except Unavailable as error:
                self._say_waiting(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._reconnect_seconds)

    async def _be_a_member(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what was still held when it failed is released."""
        async with contextlib.AsyncExitStack() as kafka:
            worker = await unless_stopped(stop, kafka.enter_async_context(self._connect()))
            if worker is None:
                return
            self._standing.worker, self._standing.kafka_trouble = worker, None
            try:
                await worker.run(stop, self._drain_timeout_seconds)
            finally:
                self._standing.worker = None
                if worker.listener.was_joined:
                    self._said = None
                self._machine.revoked(self._clock.now())

    def _say_waiting(self, error: Unavailable) -> None:
        """In the log once, for as long as it stays the same and nothing was joined in between."""
        self._standing.kafka_lost(error)
        if self._said != str(error):
            log.warning("kafka.waiting", reason=str(error))
        self._said = str(error)
