"""Members, broker and provider in virtual time: the machine that runs in production, driven by a schedule."""

import json
import random
from collections import Counter
from collections.abc import Container

from meter.pipeline.assignment import REFUSED_ALLOWANCE
from meter.pipeline.now import Now
from meter.pipeline.outcome import Accepted, Outcome, TryAgain
from meter.pipeline.parking import Selection
from meter.pipeline.receipt import ACCEPTED, Receipt
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite
from meter.pipeline.start import Choice
from tests.simulation.broker import Broker, Rec
from tests.simulation.member import MAX_HELD_EVENTS, Member
from tests.simulation.provider import Provider, Request

WALL = 1_800_000_000.0
SESSION_SECONDS = 30.0
BILLING_TIMEOUT_SECONDS = 10.0
STEP_SECONDS = 0.5
WOKEN_FOR_NOTHING = 0.2
PARTITIONS = 3
MOST_POLLED = 10
MOST_HELD_EVENTS = REFUSED_ALLOWANCE * MAX_HELD_EVENTS + PARTITIONS * MOST_POLLED
"""A partition is paused after the chunk that fills it, not within."""
CHOICE = Choice("earliest", WALL, PARTITIONS)
UNKNOWN = ("cut_before", "cut_after", "late")


def foreign_receipt(partition: int, offset: int, key: str, now: Now) -> Receipt:
    """Another group has billed this very event, at its own provider."""
    return Receipt(
        1, "others", "http://elsewhere", "live", partition, "x", now.wall_seconds, [offset], [key], "a", ["u"], [0]
    )


class World:
    """Everything that exists; every public method is one thing that can happen."""

    def __init__(self, seed: int, max_members: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.max_members = max_members
        self.seconds = 100.0
        self.broker = Broker({partition: [] for partition in range(PARTITIONS)})
        self.provider = Provider()
        self.members: list[Member] = []
        self.replaced: list[Member] = []
        """Static members that somebody else has replaced, and that do not know it yet."""
        self.is_static = seed % 3 == 1
        self.made = 0
        self.events = 0
        self.struck: Counter[str] = Counter()
        self.generation = 0

    def now(self) -> Now:
        """This moment."""
        return Now(self.seconds, WALL + self.seconds)

    def running(self) -> list[Member]:
        """Members that are not stopped."""
        return [member for member in self.members if not member.is_stopped]

    # Things that happen outside

    def produce(self, partition: int, key: int, units: int, customer: str) -> None:
        """An event; a customer of "" makes it invalid.

        Copies in partitions of different replicas are for the provider's idempotency to catch, so with several
        members a key always goes into the same partition, as it does when producers set the Kafka key.
        """
        if self.max_members > 1:
            partition = key % PARTITIONS
        log = self.broker.logs[partition]
        event = {"customerRef": customer, "units": units, "idempotencyKey": f"k{key}"}
        if self.chance.random() < 0.1:
            self.broker.write_foreign_receipt(foreign_receipt(partition, len(log), f"k{key}", self.now()))
        self.events += 1
        log.append(Rec(len(log), int((WALL + self.seconds) * 1000), json.dumps(event).encode()))

    def pass_time(self, seconds: float) -> None:
        """Time passes; members act when they wanted to be woken, timeouts strike, late inserts happen."""
        until = self.seconds + seconds
        while self.seconds < until:
            self.seconds = min(until, self._next_moment())
            self.provider.pass_time(self.seconds)
            for member in [*self.running(), *self.replaced]:
                self._let_act(member)

    def _let_act(self, member: Member) -> None:
        """Whoever has slept long enough acts; others are woken for nothing now and then."""
        if member.wake_at <= self.seconds:
            self.pump(member)
        elif self.chance.random() < WOKEN_FOR_NOTHING:
            assert not self.pump(member), "the machine would have overslept"
        if member.commit is not None:
            self.finish_commit(member, "applied")
        for request in self.requests(member):
            if self.seconds >= request.started + BILLING_TIMEOUT_SECONDS:
                self.answer(member, request, self.chance.choice(UNKNOWN))

    # Things that happen to one member

    def poll(self, member: Member, partition: int, count: int) -> None:
        """The next records, unless the partition is paused."""
        if partition in member.paused:
            self.pump(member)  # it may go on by now
        if partition in member.positions and partition not in member.paused:
            position = member.positions[partition]
            records = self.broker.logs[partition][position : position + count]
            member.positions[partition] = position + len(records)
            if records:
                member.machine.records(partition, records, self.now())
                self.pump(member)

    def answer(self, member: Member, request: Request, how: str) -> None:
        """The provider answers, or does not."""
        outcome = self.outcome(request, how)
        member.machine.answered(request.batch, outcome, self.now())
        self.pump(member)

    def answer_any(self, member: Member, how: str) -> None:
        """One of its requests is answered."""
        requests = self.requests(member)
        if requests:
            self.answer(member, self.chance.choice(requests), how)

    def finish_write(self, member: Member, how: str) -> None:
        """One of its writes is acknowledged, written without the acknowledgement, failed, or too large."""
        if not member.writes:
            return
        how = "failed" if member.is_cut_off else how
        write = member.writes.pop(self.chance.randrange(len(member.writes)))
        if how != "ok":
            self.struck[f"write: {how}"] += 1
        machine, now = member.machine, self.now()
        if isinstance(write, ReceiptWrite) and how == "too_large":
            machine.receipt_too_large(write.number, now)
        elif isinstance(write, ReceiptWrite):
            is_member = member.generation == self.generation
            offset = self.broker.write_receipt(write.receipt, is_member=is_member) if how != "failed" else -1
            if how == "ok":
                machine.receipt_written(write.number, self._told(member, write, offset), now)
            else:
                machine.receipt_failed(write.number, now)
        else:
            if how != "failed":
                self.broker.write_dead_letter(write)
            if how == "ok":
                machine.dead_letter_written(write.number, now)
            else:
                machine.dead_letter_failed(write.number, now)
        self.pump(member)

    def park(self, member: Member, customer: str) -> None:
        """An operator wants the member to let go of a customer's events."""
        leaving = member.machine.park(Selection(customers=frozenset({customer})), self.now())
        assert min(leaving) >= 0, leaving
        self.struck["parked by an operator"] += bool(leaving.parked)
        self.struck["parked by an operator, later"] += bool(leaving.waiting)
        self.pump(member)

    def finish_commit(self, member: Member, how: str) -> None:
        """Its commit is applied (and heard of or not), or lost; one from an old generation is refused."""
        if member.commit is None or (member.is_cut_off and self.seconds < member.commit_started + 5.0):
            return
        how = "lost" if member.is_cut_off else how
        if how != "applied":
            self.struck[f"commit: {how}"] += 1
        commit, member.commit = member.commit, None
        if how != "lost" and (member.generation != self.generation or self.seconds >= member.session_until):
            member.machine.commit_failed(lost=True)
        else:
            if how != "lost":
                self.broker.commit(commit)
                member.session_until = max(member.session_until, member.commit_started + SESSION_SECONDS)
            if how == "applied":
                member.machine.committed(self.now())
            else:
                member.machine.commit_failed(lost=False)
        self.pump(member)

    def pump(self, member: Member) -> bool:
        """Does what the machine says, whether that is anything, and checks what must hold at every moment."""
        machine = member.machine
        actions = machine.next(self.now())
        for batch in actions.sends:
            assert self.seconds < member.session_until, "sent without being a member"
            is_ours = member.generation == self.generation or member in self.replaced
            assert is_ours, "sent in an old generation"
            self.provider.receive(member.number, batch, self.seconds)
        writes: list[ReceiptWrite | DeadLetterWrite] = [*actions.receipts, *actions.dead_letters]
        needed = all(_is_needed(write, machine.assignment.epochs) for write in writes)
        assert needed, "written again for nothing, and for ever"
        member.writes.extend(actions.receipts)
        for letter in actions.dead_letters:
            if not letter.failures:  # when it is decided: before it is written somebody else may be refused the event
                self._check_fault(member, letter)
        member.writes.extend(actions.dead_letters)
        if actions.commit:
            assert member.commit is None, "two commits outstanding"
            member.commit, member.commit_started = dict(actions.commit), self.seconds
        member.paused = frozenset(actions.paused)
        is_busy = bool(actions.sends or actions.receipts or actions.dead_letters or actions.commit)
        if is_busy:
            actions = machine.next(self.now())
            left = [*actions.sends, *actions.receipts, *actions.dead_letters, *(actions.commit or ())]
            assert not left, "not everything was said"
        assert actions.wake_at > self.seconds, "the machine spins: it wants to be woken for nothing"
        member.wake_at = actions.wake_at
        assert machine.counts.balanced(), machine.counts
        assert machine.counts.held <= MOST_HELD_EVENTS
        return is_busy

    # Inside

    def _check_fault(self, member: Member, write: DeadLetterWrite) -> None:
        """Invariant 7: by itself a refused event is dead-lettered only after a later request was accepted."""
        if write.reason == "rejected" and not write.detail.endswith("(parked by an operator)"):
            evidence = self.provider.accepted_from > self.provider.refused_at[member.number, write.event.key]
            assert evidence, "dead-lettered, and nobody knows whether the provider is well"

    def _next_moment(self) -> float:
        """When somebody does something by itself; a member that cannot reach Kafka tries again and again."""
        members = [*self.running(), *self.replaced]
        waking = [self.seconds + STEP_SECONDS if m.commit else m.wake_at for m in members]
        timeouts = [request.started + BILLING_TIMEOUT_SECONDS for request in self.provider.requests]
        due = [when for when in (*waking, *timeouts, self.provider.next_late()) if when > self.seconds]
        return min(due, default=float("inf"))

    def outcome(self, request: Request, how: str) -> Outcome:
        outcome = self.provider.answer(request, how, self.seconds)
        if not isinstance(outcome, Accepted):
            is_cut = isinstance(outcome, TryAgain) and outcome.outcome_unknown
            self.struck[f"provider: {how if is_cut else type(outcome).__name__}"] += 1
        return outcome

    def _told(self, member: Member, write: ReceiptWrite, offset: int) -> int:
        """Now and then the broker does not say where a receipt stands: then a lower offset is all that is known."""
        highest = member.told.get(write.receipt.partition, 0)
        member.told[write.receipt.partition] = max(highest, offset) if write.number % 5 else highest
        return offset if write.number % 5 else min(highest, offset)

    def requests(self, member: Member) -> list[Request]:
        return [request for request in self.provider.requests if request.member == member.number]


def _is_needed(write: ReceiptWrite | DeadLetterWrite, epochs: Container[int]) -> bool:
    """Whoever has a released event next writes its end; only what was accepted is written down all the same."""
    if isinstance(write, DeadLetterWrite):
        return write.event.epoch in epochs
    return ACCEPTED in write.receipt.ends or any(event.epoch in epochs for event in write.events)
