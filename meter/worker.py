"""The loop: tells the machine what happens, and does what the machine says.

Every input only notes that something changed; one task asks the machine what to do next and starts it. Nothing
here decides anything about an event.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Set
from datetime import UTC, datetime
from typing import Protocol

import structlog

from meter.clock import Clock
from meter.edges import BillingApi, DeadLetterLog, EventSource, ReceiptLog
from meter.errors import LostRange, RecordTooLarge, Redelivered, Unavailable
from meter.membership import Membership, MembershipOptions
from meter.pipeline import dead_letter
from meter.pipeline import receipt as receipts
from meter.pipeline.batch import Batch
from meter.pipeline.machine import Machine
from meter.pipeline.outcome import Accepted, NotSent, Outcome, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite
from meter.pipeline.start import Bounds, Committed

log = structlog.stdlib.get_logger(__name__)

RECORDS_PER_POLL = 500
POLL_TIMEOUT_SECONDS = 0.1
SHORTEST_WAIT_SECONDS = 0.002
LONGEST_WAIT_SECONDS = 1.0
ENDS_EVERY_SECONDS = 2.0


class Observer(Protocol):
    """Who is told what the machine's own counts do not say."""

    def batch_sent(self, events: int) -> None: ...
    def batch_answered(self, outcome: str, seconds: float) -> None: ...
    def billing_paused(self, reason: str | None) -> None: ...
    def write_waits(self, reason: str | None) -> None: ...


class Worker:
    """One membership in the group, from joining to leaving."""

    def __init__(
        self,
        machine: Machine,
        source: EventSource,
        log_of_receipts: ReceiptLog,
        log_of_dead_letters: DeadLetterLog,
        billing: BillingApi,
        clock: Clock,
        observer: Observer,
        options: MembershipOptions,
    ) -> None:
        self._machine = machine
        self._source = source
        self._receipts = log_of_receipts
        self._dead_letters = log_of_dead_letters
        self._billing = billing
        self._clock = clock
        self._observer = observer
        self._topic = options.topic
        self._something_changed = asyncio.Event()
        self._stepped = asyncio.Event()
        self._paused: tuple[frozenset[int], Set[int]] | None = None
        self._known_state: tuple[str, str | None] = ("ok", None)
        self._tasks: asyncio.TaskGroup | None = None
        self._is_stopping = False
        self.membership = Membership(
            machine, source, log_of_receipts, clock, options, self._spawn, self._something_changed.set
        )
        self.ends: Mapping[int, Bounds] = {}
        """What the log holds per partition, as last seen; absent while unknown."""
        self.last_step_at = clock.now().steady_seconds

    async def run(self, stop: asyncio.Event, drain_timeout_seconds: float) -> None:
        """Bills until `stop` is set, then sends what is held, commits and leaves.

        Raises Unavailable when the membership is beyond repair and has to be made anew, NoStartingPoint, and
        whatever nobody planned for.
        """
        try:
            async with asyncio.TaskGroup() as self._tasks:
                stepping = self._spawn(self._step_forever())
                watching = self._spawn(self._watch_ends())
                await self._source.start(self.membership.on_revoked, self.membership.on_assigned)
                log.info("group.joined", topic=self._topic)
                polling = self._spawn(self._poll_until_stopping())
                stopping = self._spawn(_wait(stop))
                await asyncio.wait((polling, stopping), return_when=asyncio.FIRST_COMPLETED)
                await self._drain(drain_timeout_seconds)
                for task in (stepping, watching, polling, stopping):
                    task.cancel()
        except BaseExceptionGroup as group:
            raise _first_cause(group) from group
        finally:
            self._tasks = None
            await self._source.close()

    # In

    async def _poll_until_stopping(self) -> None:
        while not self._is_stopping:
            try:
                polled = await self._source.poll(RECORDS_PER_POLL, POLL_TIMEOUT_SECONDS)
            except LostRange as lost:
                await self.membership.skip_lost(lost.positions)
                continue
            for partition, records in polled.items():
                self._machine.records(partition, records, self._clock.now())
                self._something_changed.set()
                await asyncio.sleep(0)
            if not polled:
                await self._advance()

    async def _advance(self) -> None:
        """The consumer may stand past markers and gaps in which there was no record for us."""
        for partition in self._machine.assignment.partitions():
            if partition not in self._machine.assignment.unfilled():
                self._machine.advance(partition, await self._source.position(partition))
        self._something_changed.set()

    # Next

    async def _step_forever(self) -> None:
        while True:
            wait_seconds = self._step()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._something_changed.wait()
            except TimeoutError:
                pass
            self._something_changed.clear()

    def _step(self) -> float:
        """Asks what to do and starts it; answers for how long there will be nothing to do by itself."""
        now = self._clock.now()
        self.last_step_at = now.steady_seconds
        actions = self._machine.next(now)
        for batch in actions.sends:
            self._spawn(self._send(batch))
        for receipt in actions.receipts:
            self._spawn(self._write_receipt(receipt))
        for letter in actions.dead_letters:
            self._spawn(self._write_dead_letter(letter))
        if actions.commit:
            self._spawn(self._commit(actions.commit))
        self._pause(actions.paused)
        self._say_state()
        self._stepped.set()
        return min(max(actions.wake_at - now.steady_seconds, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)

    def _pause(self, paused: Set[int]) -> None:
        """Applied when it changed, and anew in every assignment: a rebalance forgets it."""
        wanted = (self._machine.assignment.live_epochs(), paused)
        if wanted != self._paused:
            self._paused = (wanted[0], frozenset(paused))
            self._source.pause(paused)
            self._source.resume(set(self._machine.assignment.partitions()) - paused)

    def _say_state(self) -> None:
        gate = self._machine.gate
        state = (gate.state(), gate.paused)
        if state == self._known_state:
            return
        self._known_state = state
        self._observer.billing_paused(gate.paused)
        if gate.paused is not None:
            log.error("billing.paused", reason=gate.paused, detail=gate.detail)
        elif state[0] == "retrying":
            log.warning("billing.retrying", detail=gate.detail)
        else:
            log.info("billing.resumed")

    # Out

    async def _send(self, batch: Batch) -> None:
        started = time.perf_counter()
        self._observer.batch_sent(len(batch.events))
        try:
            outcome = await self._billing.record_bulk([event.body for event in batch.events], self._may_send)
        except asyncio.CancelledError:
            self._machine.answered(batch.name, TryAgain("cancelled", outcome_unknown=True), self._clock.now())
            raise
        self._machine.answered(batch.name, outcome, self._clock.now())
        self._observer.batch_answered(_outcome_label(outcome), time.perf_counter() - started)
        self._say(batch, outcome)
        self._something_changed.set()

    def _say(self, batch: Batch, outcome: Outcome) -> None:
        """Trouble that goes on is said once (see `_say_state`); what is about these very events is said here."""
        if isinstance(outcome, Rejected | UnknownCustomer | TooLarge):
            detail = getattr(outcome, "detail", "")
            log.warning("batch.rejected", batch=batch.name, events=len(batch.events), detail=detail)

    def _may_send(self) -> bool:
        return self._machine.may_send(self._clock.now())

    async def _write_receipt(self, write: ReceiptWrite) -> None:
        try:
            offset = await self._receipts.write(write.receipt.partition, receipts.encode(write.receipt))
        except RecordTooLarge:
            self._machine.receipt_too_large(write.number)
        except Unavailable as error:
            log.warning("receipt.waits", partition=write.receipt.partition, reason=str(error))
            self._observer.write_waits(str(error))
            self._machine.receipt_failed(write.number, self._clock.now())
        except asyncio.CancelledError:
            self._machine.receipt_failed(write.number, self._clock.now())
            raise
        else:
            self._observer.write_waits(None)
            self._machine.receipt_written(write.number, offset, self._clock.now())
        self._something_changed.set()

    async def _write_dead_letter(self, write: DeadLetterWrite) -> None:
        record = write.event.record
        headers = dead_letter.headers(write, self._topic, _iso(self._clock.now().wall_seconds))
        try:
            await self._dead_letters.write(record.key, record.value, headers)
        except Unavailable as error:
            log.warning("dead_letter.waits", partition=write.event.partition, reason=str(error))
            self._observer.write_waits(str(error))
            self._machine.dead_letter_failed(write.number, self._clock.now())
        except asyncio.CancelledError:
            self._machine.dead_letter_failed(write.number, self._clock.now())
            raise
        else:
            self._observer.write_waits(None)
            self._machine.dead_letter_written(write.number, self._clock.now())
        self._something_changed.set()

    async def _commit(self, commits: Mapping[int, Committed]) -> None:
        try:
            await self._source.commit(commits)
        except Redelivered as error:
            log.info("commit.too_late", reason=str(error))
            self._machine.commit_failed(lost=True)
        except Unavailable as error:
            log.warning("commit.unknown", reason=str(error))
            self._machine.commit_failed(lost=False)
        except asyncio.CancelledError:
            self._machine.commit_failed(lost=True)
            raise
        else:
            self._machine.committed(self._clock.now())
        self._something_changed.set()

    # The end

    async def _drain(self, limit_seconds: float) -> None:
        """Stops polling and waits until everything held has ended, as long as that is allowed to take."""
        self._is_stopping = True
        self._machine.drain()
        self._something_changed.set()
        deadline = self._clock.now().steady_seconds + limit_seconds
        while self._machine.counts.held and self._clock.now().steady_seconds < deadline:
            self._stepped.clear()
            await self._stepped.wait()
        log.info("drained", held=self._machine.counts.held)
        await self.membership.on_revoked(frozenset(self._machine.assignment.partitions()))

    async def _watch_ends(self) -> None:
        """Keeps the ends of the log in view; when they cannot be had they are unknown, not old."""
        while True:
            partitions = self._machine.assignment.partitions()
            try:
                self.ends = await self._source.bounds(partitions) if partitions else {}
            except Unavailable:
                self.ends = {}
            await asyncio.sleep(ENDS_EVERY_SECONDS)

    def _spawn(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        if self._tasks is None:
            raise RuntimeError("the worker is not running")
        return self._tasks.create_task(work)


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure that took the others down: later ones are its consequences."""
    first = group.exceptions[0]
    return _first_cause(first) if isinstance(first, BaseExceptionGroup) else first


def _iso(wall_seconds: float) -> str:
    return datetime.fromtimestamp(wall_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _outcome_label(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "ok"
        case TryAgain() | NotSent():
            return "retry"
        case Refused():
            return "refused"
        case _:
            return "rejected"
