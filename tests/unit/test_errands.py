"""What the machine wants done outside: each errand is answered for once, whatever becomes of it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from structlog.testing import capture_logs

from meter.committer import Committer
from meter.edges import BillingApi, Ports
from meter.errands import Errands
from meter.pipeline.actions import Actions
from meter.pipeline.now import Now
from meter.pipeline.outcome import Outcome
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite
from tests.builders import Driver, bad_record, records
from tests.fakes import FakeBilling, Fault
from tests.kafka_fakes import FakeCluster, FakeSource
from tests.topic_fakes import FakeDeadLetters, FakeReceipts


@dataclass
class Seen:
    """What the observer was told."""

    sent: list[int] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    waits: list[str | None] = field(default_factory=list)

    def batch_sent(self, events: int) -> None:
        self.sent.append(events)

    def batch_answered(self, outcome: str, seconds: float) -> None:
        self.answered.append(outcome)

    def billing_paused(self, reason: str | None) -> None:
        raise NotImplementedError

    def client_is_silent(self) -> None:
        """Of no interest here."""

    def write_waits(self, reason: str | None) -> None:
        self.waits.append(reason)


class World:
    """Errands for a machine that is driven by hand."""

    def __init__(self, *, cancels: bool = False, billing: BillingApi | None = None) -> None:
        self.driver = Driver(0)
        self.cluster = FakeCluster()
        for topic in ("usage", "receipts", "letters"):
            self.cluster.create_topic(topic, 1)
        self.billing = FakeBilling()
        self.seen = Seen()
        self._cancels = cancels
        self._tasks: list[asyncio.Task[None]] = []
        ports = Ports(
            FakeSource(self.cluster, "usage"),
            FakeReceipts(self.cluster, "receipts"),
            FakeDeadLetters(self.cluster, "letters"),
            billing or self.billing,
            self,
        )
        self.errands = Errands(
            self.driver.machine, ports, Committer(ports.source), self.seen, "usage", self._spawn, lambda: None
        )

    def now(self) -> Now:
        """The driver's time: this world is its own clock."""
        return self.driver.now

    async def carry_out(self) -> None:
        """All that the machine has said so far."""
        driver = self.driver
        receipts = [write for write in driver.writes if isinstance(write, ReceiptWrite)]
        letters = [write for write in driver.writes if isinstance(write, DeadLetterWrite)]
        self.errands.start(Actions(driver.sends, receipts, letters, driver.commit, frozenset(), 0.0))
        driver.sends, driver.writes, driver.commit = [], [], None
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)
        driver.step()

    def _spawn(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        self._tasks.append(asyncio.create_task(work))
        if self._cancels:
            self._tasks[-1].cancel()
        return self._tasks[-1]


async def test_an_errand_cancelled_before_it_began_is_answered_for() -> None:
    """Its coroutine never runs a line. The machine learns of it all the same: nothing stays under way for ever."""
    world = World(cancels=True)
    world.driver.feed(0, *records(0, 3), bad_record(3))
    assert (len(world.driver.sends), len(world.driver.writes)) == (1, 1)
    await world.carry_out()
    assert world.billing.requests_total == 0
    world.driver.pass_time(2.5)
    assert (len(world.driver.sends), len(world.driver.writes)) == (1, 1)


async def test_a_commit_cancelled_before_it_began_is_not_outstanding_for_ever() -> None:
    """And the lease is gone with it: who cancels commits may no longer be a member."""
    world = World(cancels=True)
    world.driver.pass_time(1.0, renew=False)
    world.driver.feed(0, bad_record(0))
    world.driver.write()
    assert world.driver.commit is not None
    await world.carry_out()
    assert not world.driver.machine.commits.is_outstanding()
    assert not world.driver.machine.may_send(world.driver.now)


class Broken:
    """A provider's client with a mistake in it."""

    async def record_bulk(self, bodies: Sequence[bytes], may_send: Callable[[], bool]) -> Outcome:
        """Whatever it is."""
        raise ZeroDivisionError("nobody planned for this")


async def test_a_request_that_ends_in_an_exception_has_an_unknown_outcome() -> None:
    """Nobody knows how far it got: two seconds, and then it is no longer under way."""
    world = World(billing=Broken())
    world.driver.feed(0, *records(0, 3))
    await world.carry_out()
    assert world.driver.machine.is_inserting(world.driver.now)
    world.driver.pass_time(1.9)
    assert world.driver.sends == []
    assert world.driver.machine.is_inserting(world.driver.now)
    world.driver.pass_time(0.2)
    assert len(world.driver.sends) == 1


async def test_an_answer_is_counted_by_what_it_means() -> None:
    """Of requests that were made: one that the lease forbade is none."""
    world = World()
    world.driver.feed(0, *records(0, 3))
    world.driver.machine.commits.lost()
    await world.carry_out()
    assert (world.billing.requests_total, world.seen.answered) == (0, [])
    for fault, outcome in [("status", "retry"), ("malformed", "retry")]:
        world = World()
        world.billing.faults = [Fault(fault)]
        world.driver.feed(0, *records(0, 3))
        await world.carry_out()
        assert world.seen.answered == [outcome]


async def test_a_write_that_waits_is_said_once_and_so_is_its_end() -> None:
    """Dead letters that wait are not hidden by receipts that are written."""
    world = World()
    world.cluster.faults.fail("dead_letters.write", times=3)
    world.driver.feed(0, *records(0, 3), bad_record(3))
    with capture_logs() as lines:
        for _ in range(8):
            await world.carry_out()
            world.driver.pass_time(2.5)
    told = [line["event"] for line in lines if line["event"].startswith("write")]
    assert told == ["write.waits", "write.resumed"]
    assert world.seen.waits[-1] is None
    assert None not in world.seen.waits[:-1]


async def test_a_write_that_nobody_needs_any_more_waits_for_nothing() -> None:
    """Its event was released: no reason is left that only the next dead letter, perhaps in a week, would clear."""
    world = World()
    world.cluster.faults.fail("dead_letters.write")
    world.driver.feed(0, bad_record(0))
    world.driver.machine.revoked(world.driver.now)
    await world.carry_out()
    assert world.seen.waits == []
    world.driver.pass_time(9.0)
    assert world.driver.writes == []
