"""Everything is built here, and only here; then it runs until it is told to stop.

Start: the HTTP port is taken and served first, so that somebody can ask what meter is waiting for. Stop: the worker
drains, commits and leaves the group; HTTP goes last, so that the final numbers can still be read.
"""

import asyncio
import contextlib
import gc
import os
import random
import socket
from collections.abc import AsyncIterator, Mapping

import structlog

from meter import __version__, health
from meter.billing.calling import HttpBilling
from meter.billing.limits_outcome import LimitsAnswer, LimitsOutcome, LimitsRefused, LimitsUnavailable
from meter.billing.mcp import McpFraming
from meter.billing.rest import RestFraming
from meter.clock import SystemClock
from meter.edges import Ports
from meter.http.api import build
from meter.http.parking import Parking
from meter.http.server import listen, serve_on
from meter.kafka.consumer import KafkaSource
from meter.kafka.dead_letters import KafkaDeadLetters
from meter.kafka.receipts import KafkaReceipts
from meter.kafka.topics import ensure_topics
from meter.kafka.writer import Writer
from meter.limits import LimitsCache
from meter.metrics import Metrics
from meter.ownership import owner_of
from meter.pipeline.actions import MachineOptions
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.machine import Machine
from meter.rebalance import GroupOptions
from meter.settings import Settings
from meter.settings.options import ASSIGNMENT_SECONDS
from meter.standing import Standing
from meter.supervisor import Supervisor
from meter.watchdog import watched
from meter.worker import Worker

log = structlog.stdlib.get_logger(__name__)

GC_THRESHOLDS = (50_000, 20, 100)
"""The default collects all the time while thousands of events are held, for nothing: they hold no cycles."""


async def run(settings: Settings, stop: asyncio.Event) -> int:
    """Bills until `stop` is set; the exit code. Raises UserMistake for what only the user can fix."""
    sock = listen(settings.http.host, settings.http.port)
    daemon = Daemon(settings)
    try:
        await daemon.run(sock, stop)
    finally:
        await daemon.limits.close()
        await daemon.billing.close()
    return 0


class Daemon:
    """The parts of one process, wired together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._warnings_said: set[str] = set()
        self._metrics = Metrics(__version__)
        self.billing = self._billing()
        self.machine = Machine(self._machine_options(), random.SystemRandom())
        self.limits = LimitsCache(
            _CountedLimits(self.billing, self._metrics),
            self.machine.usage,
            self._clock,
            settings.limits,
            self._metrics.limits_answer,
            deadline_seconds=settings.billing.timeout_seconds,
        )
        self._standing = Standing(
            self.machine,
            self._metrics,
            self._clock,
            self.limits,
            settings.run.stuck_after_seconds,
            settings.billing.timeout_seconds,
        )
        self._metrics.show(self.machine.counts, self._standing.readings)
        token = settings.http.token
        self._app = build(
            self.limits,
            self._standing,
            self._metrics.render,
            None if token is None else token.get_secret_value(),
            Parking(
                settings.kafka.topic,
                lambda wanted: self.machine.park(wanted, self._clock.now()),
                self.machine.assignment.partitions,
            ),
        )

    async def run(self, sock: socket.socket, stop: asyncio.Event) -> None:
        """Serves HTTP and bills; returns when both have ended."""
        supervisor = Supervisor(
            self._kafka, self.machine, self._standing, self._clock, self._settings.run.drain_timeout_seconds
        )
        async with serve_on(self._app, sock) as port:
            log.info("http.serving", host=self._settings.http.host, port=port)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            announcing = asyncio.create_task(self._announce_drain(stop))
            try:
                async with watched(self._standing.beat):
                    await supervisor.run(stop)
            finally:
                announcing.cancel()
        log.info("stopped", **self.machine.counts.events())

    @contextlib.asynccontextmanager
    async def _kafka(self) -> AsyncIterator[Worker]:
        """The Kafka side, connected, with the topics in place."""
        settings = self._settings
        for warning in await ensure_topics(settings.kafka, settings.dedupe.window_seconds):
            if warning not in self._warnings_said:
                log.warning("topic.warning", warning=warning)
            self._warnings_said.add(warning)
        writer = Writer(settings.kafka)
        receipts = KafkaReceipts(settings.kafka, writer)
        try:
            await writer.start()
            await receipts.start()
            source = KafkaSource(settings.kafka, settings.rebalance_timeout_seconds)
            dead_letters = KafkaDeadLetters(settings.kafka, writer)
            ports = Ports(source, receipts, dead_letters, self.billing, self._clock)
            yield Worker(self.machine, ports, self._standing, self._group_options())
        finally:
            await receipts.close()
            await writer.close()

    def _billing(self) -> HttpBilling:
        settings = self._settings.billing
        key = settings.plain_secret_key
        is_mcp = settings.transport == "mcp"
        framing = McpFraming(settings.mcp_url, key) if is_mcp else RestFraming(settings.base_url, key)
        return HttpBilling(framing, settings.timeout_seconds, clock=self._clock)

    async def _announce_drain(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._standing.draining = True
        log.info("draining", held=self.machine.counts.held)

    def _machine_options(self) -> MachineOptions:
        settings = self._settings
        batch = settings.batch
        return MachineOptions(
            name=f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}",
            owner=owner_of(settings),
            topic=settings.kafka.topic,
            batch=BatchLimits(batch.max_events, batch.max_bytes, batch.max_age_seconds),
            max_held_events=batch.max_held_events,
            max_held_bytes=batch.max_held_bytes,
            max_in_flight=settings.billing.max_in_flight,
            window_max_ids=settings.dedupe.max_ids,
            window_seconds=settings.dedupe.window_seconds,
            unknown_customer_wait_seconds=settings.billing.unknown_customer_wait_seconds,
            lease_seconds=settings.lease_seconds,
        )

    def _group_options(self) -> GroupOptions:
        settings = self._settings
        return GroupOptions(
            topic=settings.kafka.topic,
            group_id=settings.kafka.group_id,
            start_from=settings.kafka.start_from,
            window_seconds=settings.dedupe.window_seconds,
            window_max_ids=settings.dedupe.max_ids,
            hand_over_seconds=settings.revocation_deadline_seconds,
            assignment_seconds=ASSIGNMENT_SECONDS,
            take_over_seconds=settings.take_over_seconds,
            stalled_after_seconds=settings.run.stuck_after_seconds / 3,  # leaves as long for what is to help
            ends_every_seconds=health.ends_every_seconds(settings.run.stuck_after_seconds),
        )


class _CountedLimits:
    """The provider's limits, each request counted by how it ended."""

    def __init__(self, billing: HttpBilling, metrics: Metrics) -> None:
        self._billing = billing
        self._metrics = metrics

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        """As the provider's."""
        outcome = await self._billing.check_limits(request)
        self._metrics.billing_request("limits", _label(outcome))
        return outcome


def _label(outcome: LimitsOutcome) -> str:
    if isinstance(outcome, LimitsAnswer):
        return "ok"
    if isinstance(outcome, LimitsUnavailable):
        return "retry"
    return "refused" if isinstance(outcome, LimitsRefused) else "rejected"
