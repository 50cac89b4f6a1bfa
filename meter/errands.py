"""What the machine wants done outside, done: requests, receipts, dead letters, commits.

Each is answered for to the machine exactly once, also when it is cancelled, even before it began, or ends in an
exception that nobody planned for: what nobody answers for would be under way for ever.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Protocol

import structlog

from meter.committer import Committer
from meter.edges import Ports, Spawn
from meter.errors import RecordTooLarge, Redelivered, Unavailable
from meter.pipeline import dead_letter
from meter.pipeline import receipt as receipts
from meter.pipeline.actions import Actions
from meter.pipeline.batch import Batch
from meter.pipeline.machine import Machine
from meter.pipeline.outcome import Accepted, NotSent, Outcome, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite
from meter.pipeline.start import Committed

log = structlog.stdlib.get_logger(__name__)


class Observer(Protocol):
    """Who is told what the machine's own counts do not say."""

    def batch_sent(self, events: int) -> None: ...
    def batch_answered(self, outcome: str, seconds: float) -> None: ...
    def billing_paused(self, reason: str | None) -> None: ...
    def write_waits(self, reason: str | None) -> None: ...
    def client_is_silent(self) -> None: ...


class Errands:
    """Everything of one membership that is under way."""

    def __init__(
        self,
        machine: Machine,
        ports: Ports,
        committer: Committer,
        observer: Observer,
        topic: str,
        spawn: Spawn,
        changed: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._ports = ports
        self._committer = committer
        self._clock = ports.clock
        self._observer = observer
        self._topic = topic
        self._spawn = spawn
        self._changed = changed
        self._waiting: dict[str, str] = {}

    def start(self, actions: Actions) -> None:
        """Does what the machine said, in the background."""
        for batch in actions.sends:
            self._start(self._send(batch), partial(self._answered, batch.name, _GIVEN_UP))
        for receipt in actions.receipts:
            self._start(self._write_receipt(receipt), partial(self._receipt_failed, receipt.number))
        for letter in actions.dead_letters:
            self._start(self._write_dead_letter(letter), partial(self._dead_letter_failed, letter.number))
        if actions.commit:
            self._start(self._commit(actions.commit), partial(self._machine.commit_failed, lost=True))

    def nothing_waits(self) -> None:
        """A new assignment: what could not be written before may have been released."""
        self._waiting.clear()
        self._observer.write_waits(None)

    def _start(self, errand: Coroutine[object, object, None], give_up: Callable[[], object]) -> None:
        def ended(task: "asyncio.Task[None]") -> None:
            if task.cancelled() or task.exception() is not None:
                give_up()

        self._spawn(errand).add_done_callback(ended)

    # The provider

    async def _send(self, batch: Batch) -> None:
        started = time.perf_counter()
        self._observer.batch_sent(len(batch.events))
        outcome = await self._ports.billing.record_bulk([event.body for event in batch.events], self._may_send)
        self._answered(batch.name, outcome)
        if not isinstance(outcome, NotSent):
            self._observer.batch_answered(_label(outcome), time.perf_counter() - started)
        if isinstance(outcome, Rejected | UnknownCustomer | TooLarge):
            # Trouble that goes on is said once, by the worker; this is about these very events.
            detail = getattr(outcome, "detail", "")
            log.warning("batch.rejected", batch=batch.name, events=len(batch.events), detail=detail)

    def _may_send(self) -> bool:
        return self._machine.may_send(self._clock.now())

    def _answered(self, name: str, outcome: Outcome) -> None:
        self._machine.answered(name, outcome, self._clock.now())
        self._changed()

    # Kafka

    async def _write_receipt(self, write: ReceiptWrite) -> None:
        try:
            offset = await self._ports.receipts.write(write.receipt.partition, receipts.encode(write.receipt))
        except RecordTooLarge as error:
            if not self._machine.receipt_too_large(write.number, self._clock.now()):
                self._waits("receipt", str(error))
        except Unavailable as error:
            if self._receipt_failed(write.number):
                self._waits("receipt", str(error))
        else:
            self._works("receipt")
            self._machine.receipt_written(write.number, offset, self._clock.now())
        self._changed()

    def _receipt_failed(self, number: int) -> bool:
        return self._machine.receipt_failed(number, self._clock.now())

    async def _write_dead_letter(self, write: DeadLetterWrite) -> None:
        record = write.event.record
        headers = dead_letter.headers(write, self._topic)
        try:
            await self._ports.dead_letters.write(record.key, record.value, headers)
        except Unavailable as error:
            if self._dead_letter_failed(write.number):
                self._waits("dead_letter", str(error))
        else:
            self._works("dead_letter")
            self._machine.dead_letter_written(write.number, self._clock.now())
        self._changed()

    def _dead_letter_failed(self, number: int) -> bool:
        return self._machine.dead_letter_failed(number, self._clock.now())

    async def _commit(self, commits: Mapping[int, Committed]) -> None:
        try:
            await self._committer.commit(commits)
        except Redelivered as error:
            log.info("commit.too_late", reason=str(error))
            self._machine.commit_failed(lost=True)
        except Unavailable as error:
            self._waits("commit", str(error))
            self._machine.commit_failed(lost=False)
        else:
            self._works("commit")
            self._machine.committed(self._clock.now())
        self._changed()

    # What cannot be written, said once

    def _waits(self, what: str, reason: str) -> None:
        if what not in self._waiting:
            log.warning("write.waits", what=what, reason=reason)
        self._waiting[what] = reason
        self._observer.write_waits(reason)

    def _works(self, what: str) -> None:
        if self._waiting.pop(what, None) is not None:
            log.info("write.resumed", what=what)
            self._observer.write_waits(next(iter(self._waiting.values()), None))


_GIVEN_UP = TryAgain("given up", outcome_unknown=True)


def _label(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "ok"
        case TryAgain():
            return "retry"
        case Refused():
            return "refused"
        case _:
            return "rejected"
