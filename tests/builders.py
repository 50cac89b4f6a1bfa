"""Short builders: records, events, batches, and a machine that is driven by hand in virtual time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meter.http.parking import Parking
from meter.pipeline.actions import Actions, MachineOptions
from meter.pipeline.batch import Batch
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.event import Origin, UsageEvent, decode
from meter.pipeline.machine import Machine
from meter.pipeline.now import Now
from meter.pipeline.outcome import Accepted, Outcome, Rejected, TryAgain
from meter.pipeline.parking import Leaving
from meter.pipeline.receipt import Owner, Receipt
from meter.pipeline.retry import Chance
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite
from meter.pipeline.start import Choice, Committed, Start, decode_note
from meter.pipeline.usage import Usage
from tests.records import NOW_SECONDS, FakeRecord, as_json

OWNER = Owner("meter", "http://provider", "sandbox")
CHOICE = Choice("earliest", NOW_SECONDS, 4)
TIMEOUT = TryAgain("timeout", outcome_unknown=True)
BUSY = TryAgain("503", outcome_unknown=False)
REJECTED = Rejected({}, "validation failed")
NOBODY_PARKS = Parking("usage-events", lambda wanted: Leaving(0, 0), lambda: ())


@dataclass(eq=False)
class Counted:
    """As much of an event as pending usage looks at."""

    customer: str = "cus_1"
    product: str = "prd_1"
    units: int = 1
    counts: bool = True
    usage: Usage | None = None


class Most:
    """Chance that always takes the largest: waits are as long as they can be."""

    def uniform(self, a: float, b: float, /) -> float:
        """The upper end."""
        return max(a, b)


class Least:
    """Chance that always takes the smallest: waits are as short as they can be."""

    def uniform(self, a: float, b: float, /) -> float:
        """The lower end."""
        return min(a, b)


MOST = Most()


def record(offset: int, key: str = "", **fields: object) -> FakeRecord:
    """A record of one valid event; without a key its offset names it."""
    event = {"customerRef": "cus_1", "units": 1, "idempotencyKey": key or f"k{offset}", **fields}
    return FakeRecord(as_json(event), offset=offset)


def records(first: int, end: int) -> list[FakeRecord]:
    """Different valid events at these offsets."""
    return [record(offset) for offset in range(first, end)]


def bad_record(offset: int) -> FakeRecord:
    """A record that is no event."""
    return FakeRecord(b"no JSON", offset=offset)


def event(key: str = "k0", *, offset: int = 0, partition: int = 0, epoch: int = 1, **fields: object) -> UsageEvent:
    """A valid event that came in this assignment."""
    made = decode(record(offset, key, **fields), Origin("cluster", "usage-events", partition), NOW_SECONDS)
    assert isinstance(made, UsageEvent), made
    made.epoch = epoch
    return made


def events(*keys: str, **fields: Any) -> list[UsageEvent]:
    """One event per key, at ascending offsets."""
    return [event(key, offset=offset, **fields) for offset, key in enumerate(keys)]


def batch(*batched: UsageEvent, name: str = "b-1") -> Batch:
    """These events as one batch."""
    return Batch(name, list(batched), "count")


def accepted(sent: Batch, undebited: Mapping[int, str] | None = None) -> Accepted:
    """The provider's yes to every event of a batch."""
    return Accepted([f"usage_{one.key}" for one in sent.events], undebited or {})


def keys(sent: Batch) -> list[str]:
    """Whose turn it is."""
    return [one.key for one in sent.events]


@dataclass
class Kept:
    """What Kafka keeps when a process is killed."""

    commits: dict[int, Committed] = field(default_factory=dict)
    receipts: dict[int, list[Receipt]] = field(default_factory=dict)
    dead: list[DeadLetterWrite] = field(default_factory=list)


def machine_options(**changes: Any) -> MachineOptions:
    """Those of a machine of small batches."""
    options: dict[str, Any] = {
        "name": "m",
        "owner": OWNER,
        "topic": "usage-events",
        "batch": BatchLimits(3, 100_000, 1.0),
        "max_held_events": 60,
        "max_held_bytes": 1_000_000,
        "max_in_flight": 4,
        "window_max_ids": 1000,
        "window_seconds": 86_400.0,
        "unknown_customer_wait_seconds": 300.0,
        "lease_seconds": 18.0,
    }
    return MachineOptions(**(options | changes))


class Driver:
    """A machine of small batches, driven by hand: what it wants done waits here until the test does it."""

    def __init__(
        self, *partitions: int, kept: Kept | None = None, at: float = 100.0, chance: Chance = MOST, **changes: Any
    ) -> None:
        self.machine = Machine(machine_options(**changes), chance)
        self.kept = kept or Kept()
        self.seconds = at
        self.sends: list[Batch] = []
        self.writes: list[ReceiptWrite | DeadLetterWrite] = []
        self.commit: Mapping[int, Committed] | None = None
        self.actions = Actions([], [], [], None, frozenset(), 0.0)
        if partitions:
            self.assign(*partitions)

    @property
    def now(self) -> Now:
        """This moment."""
        return Now(self.seconds, NOW_SECONDS + self.seconds)

    # The assignment

    def assign(self, *partitions: int, fill: bool = True, wait_seconds: float = 0.0) -> None:
        """These partitions are ours from their commits on, and their windows are filled."""
        starts = {}
        for partition in partitions:
            commit = self.kept.commits.get(partition, Committed(0, ""))
            starts[partition] = Start(commit.offset, decode_note(commit.metadata).receipts_offset)
        self.machine.commits.wait(self.seconds + wait_seconds)
        self.machine.assigned("cluster", starts, CHOICE, self.seconds, self.now)
        for partition in partitions if fill else ():
            self.fill(partition)
        self.step()

    def fill(self, partition: int, tail_offset: int = 0) -> None:
        """Reads the partition's receipts, from `tail_offset` at the latest."""
        log = self.kept.receipts.get(partition, [])
        for offset in range(self.machine.assignment.fill_from(partition, tail_offset), len(log)):
            self.machine.remember(partition, offset, log[offset])
        self.machine.window_filled(partition)

    def revoke(self) -> None:
        """The assignment is over, whatever was under way."""
        self.machine.revoked(self.now)
        self.commit = None
        self.step()

    def killed(self, *partitions: int, **changes: Any) -> "Driver":
        """Another process takes these partitions over, a minute after this one was killed."""
        return Driver(*partitions, kept=self.kept, at=self.seconds + 60.0, **changes)

    # Things that happen

    def feed(self, partition: int, *fed: FakeRecord) -> None:
        """These records were read."""
        self.machine.records(partition, fed, self.now)
        self.step()

    def step(self) -> Actions:
        """Asks what to do, and keeps it; the machine's own books must balance."""
        self.actions = self.machine.next(self.now)
        self.sends += self.actions.sends
        self.writes += [*self.actions.receipts, *self.actions.dead_letters]
        if self.actions.commit is not None:
            assert self.commit is None, "two commits outstanding"
            self.commit = self.actions.commit
        assert self.machine.counts.balanced(), self.machine.counts
        return self.actions

    def pass_time(self, seconds: float, *, renew: bool = True) -> None:
        """Time passes in steps of a tenth; commits are accepted meanwhile if `renew`."""
        until = self.seconds + seconds
        while self.seconds < until:
            self.seconds = until if until - self.seconds < 0.101 else self.seconds + 0.1
            self.step()
            if renew:
                self.accept_commit()

    def answer(self, outcome: Outcome | None = None, *, which: int = 0) -> Batch:
        """The provider answers one request, a moment later: yes, unless told otherwise."""
        sent = self.sends.pop(which)
        self.seconds += 0.005
        self.machine.answered(sent.name, outcome or accepted(sent), self.now)
        self.seconds += 0.005
        self.step()
        return sent

    def write(self) -> None:
        """Kafka acknowledges all that is to be written."""
        while self.writes:
            self.acknowledge(self.writes.pop(0))

    def acknowledge(self, write: ReceiptWrite | DeadLetterWrite) -> None:
        """Kafka acknowledges this write."""
        if isinstance(write, ReceiptWrite):
            log = self.kept.receipts.setdefault(write.receipt.partition, [])
            log.append(write.receipt)
            self.machine.receipt_written(write.number, len(log) - 1, self.now)
        else:
            self.kept.dead.append(write)
            self.machine.dead_letter_written(write.number, self.now)
        self.step()

    def fail_writes(self) -> None:
        """Kafka takes nothing of what is to be written now."""
        failed, self.writes = self.writes, []
        for write in failed:
            if isinstance(write, ReceiptWrite):
                self.machine.receipt_failed(write.number, self.now)
            else:
                self.machine.dead_letter_failed(write.number, self.now)
        self.step()

    def accept_commit(self) -> None:
        """Kafka takes the commit that is outstanding, if one is."""
        if self.commit is not None:
            self.kept.commits.update(self.commit)
            self.commit = None
            self.machine.committed(self.now)
            self.step()

    def bill(self) -> None:
        """Everything that is sent is accepted, and everything written, until nothing is left to do now."""
        while self.sends or self.writes:
            while self.sends:
                self.answer()
            self.write()

    # What can be seen

    def position(self, partition: int = 0) -> int:
        """What may be committed now."""
        return self.machine.assignment.positions()[partition]

    def ends(self) -> dict[str, int]:
        """What became of events so far, without zeros."""
        return {name: count for name, count in self.machine.counts.events().items() if count}

    def reasons(self) -> Sequence[str]:
        """Why there are dead letters, in their order."""
        return [write.reason for write in self.kept.dead]
