"""The parts together: events, answers and the time go in, what to do next comes out.

The machine awaits nothing and knows no Kafka and no HTTP. Whoever runs it tells it what happened and carries out
its `Actions`; the rules live in the parts, here they are only composed. After every input, ask for `next`.
"""

from collections.abc import Mapping, Sequence, Set

from meter.pipeline.actions import Actions, MachineOptions
from meter.pipeline.admission import Admission
from meter.pipeline.assignment import Assignment, Decoded, held_bytes
from meter.pipeline.batch import Batch
from meter.pipeline.concurrency import Gate
from meter.pipeline.counts import Counts
from meter.pipeline.dedupe import Window
from meter.pipeline.dispatch import Dispatch
from meter.pipeline.event import Origin, Record, UsageEvent, decode_all
from meter.pipeline.holding import Holding
from meter.pipeline.lease import Commits
from meter.pipeline.now import Now
from meter.pipeline.outcome import Outcome
from meter.pipeline.parking import Leaving, Selection
from meter.pipeline.receipt import ACCEPTED, Receipt
from meter.pipeline.refusals import Refusals
from meter.pipeline.retry import Chance
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite, Settlement
from meter.pipeline.start import Choice, Committed, Start
from meter.pipeline.usage import PendingUsage


class Machine:
    """One process's share of the group, from record to commit."""

    def __init__(self, options: MachineOptions, chance: Chance) -> None:
        self.counts = Counts()
        self.usage = PendingUsage()
        self.window = Window(options.window_max_ids, options.window_seconds)
        self.gate = Gate(options.max_in_flight, options.batch.max_bytes, chance)
        self.assignment = Assignment(options.max_held_events, options.max_held_bytes)
        self.commits = Commits(options.lease_seconds)
        self._options = options
        self._holding = Holding()
        self.refusals = Refusals(options.unknown_customer_wait_seconds)
        self._dispatch = Dispatch(
            options.batch, self.gate, self.refusals, self._holding, self.assignment.epochs, chance, options.name
        )
        self._settlement = Settlement(
            options.owner, options.batch.max_age_seconds, self.assignment.epochs, chance, options.name
        )
        self._admission = Admission(self.window, self._holding, self.usage, self._dispatch, self._settlement)
        self._cluster_id = ""
        self._is_handing_over = False
        self._is_draining = False

    # Assignment

    def assigned(
        self, cluster_id: str, starts: Mapping[int, Start], choice: Choice, commit_started_at: float, now: Now
    ) -> None:
        """These partitions of this cluster are ours, and a commit of their starts, begun then, was accepted."""
        if self.assignment.partitions():
            self.revoked(now)
        self._cluster_id = cluster_id
        self._is_handing_over = False
        self.assignment.begin(starts, choice, now.steady_seconds)
        for write in self._settlement.unacknowledged():
            self._expect(write)
        self.commits.assigned(self.assignment.positions(), commit_started_at)

    def remember(self, partition: int, receipts_offset: int, receipt: Receipt) -> None:
        """A receipt from the partition's tail; those of other groups, providers and environments do not count."""
        self.assignment.receipt_read(partition, receipts_offset)
        if receipt.owner == self._options.owner:
            self.window.remember(receipt.keys, receipt.digests, receipt.at)
            self.assignment.recognise(partition, receipts_offset, receipt.offsets, receipt.keys)

    def window_filled(self, partition: int) -> None:
        """All receipts of the partition's tail were remembered: its records may come."""
        self.assignment.window_filled(partition)

    def hand_over(self) -> None:
        """The partitions are about to be revoked: nothing new is sent, what is under way may end."""
        self._is_handing_over = True

    def drain(self) -> None:
        """The process is about to stop: what is held is sent now, no records come any more."""
        self._is_draining = True

    def is_quiet(self, now: Now) -> bool:
        """Nothing is under way, at the provider or to the broker, and nobody may still be inserting."""
        return self._dispatch.is_quiet(now.steady_seconds) and self._settlement.is_quiet()

    def last_commits(self, now: Now) -> dict[int, Committed]:
        """What to commit before the partitions are given back.

        It says that they were given back only when nothing is under way, and nobody before us can be sending either.
        """
        no_other = now.steady_seconds >= self.commits.waits_until()
        given_back = self._is_handing_over and no_other and self.is_quiet(now)
        return self.assignment.commits(now.wall_seconds, given_back=given_back)

    def is_inserting(self, now: Now) -> bool:
        """A request is under way, or one that ended unknown may still be inserted."""
        return not self._dispatch.is_quiet(now.steady_seconds)

    def revoked(self, now: Now) -> None:
        """The partitions are no longer ours: what has no end is released."""
        self._take_verdicts(now)  # what was answered before it was over: receipts are written, dead letters are not
        epochs = self.assignment.live_epochs()
        self.counts.released += self.assignment.end()
        self.counts.held = 0
        self.commits.lost()
        self._holding.take_copies(lambda copy: copy.epoch in epochs)
        self._admission.give_up(self._settlement.release(epochs), now)
        self._dispatch.release(epochs, now.steady_seconds)
        self._take_verdicts(now)

    # Records

    def records(self, partition: int, records: Sequence[Record], now: Now) -> None:
        """Records of one partition, ascending; what was handed over before in this assignment is no copy."""
        progress = self.assignment.progress(partition)
        if progress is None:
            return
        position, fresh = progress.position, records
        if not records or records[0].offset < position:
            fresh = [record for record in records if record.offset >= position]
            if not fresh:
                return
        origin = Origin(self._cluster_id, self._options.topic, partition)
        decoded = decode_all(fresh, origin, now.wall_seconds, progress.epoch)
        progress.begin([event.offset for event in decoded])
        self.counts.consumed += len(fresh)
        progress.held_bytes += held_bytes(decoded)
        events: list[UsageEvent] = []
        for event in self._unrecognised(partition, decoded, now):
            if isinstance(event, UsageEvent):
                events.append(event)
            else:
                self._settlement.dead_letter(event, event.reason, event.detail)
        self._admission.admit(partition, events, now)
        self.counts.held = self.assignment.held()

    def advance(self, partition: int, position: int) -> None:
        """The consumer stands here and everything below was handed over."""
        progress = self.assignment.progress(partition)
        if progress is not None:
            progress.advance(position)

    def _unrecognised(self, partition: int, decoded: Sequence[Decoded], now: Now) -> Sequence[Decoded]:
        """Those that no receipt names; the others have ended already (and may have become too old since)."""
        recognised = self.assignment.take_recognised(partition, decoded)
        if not recognised:
            return decoded
        self._end(partition, recognised, now)
        self.counts.duplicate += len(recognised)
        gone = set(map(id, recognised))
        return [event for event in decoded if id(event) not in gone]

    # Answers

    def answered(self, batch_name: str, outcome: Outcome, now: Now) -> None:
        """What the provider answered to a batch."""
        self._dispatch.answered(batch_name, outcome, now)

    def receipt_written(self, number: int, receipts_offset: int, now: Now) -> None:
        """The broker has acknowledged this receipt, at this offset of the receipts topic: its events have ended."""
        write = self._settlement.written(number)
        if not isinstance(write, ReceiptWrite):
            raise TypeError("this number is not a receipt's")
        receipt = write.receipt
        count = receipt.ends.count(ACCEPTED)
        accepted, copies = write.events[:count], write.events[count:]  # in this order, see `Settlement`
        self.window.remember(receipt.keys[:count], receipt.digests[:count], receipt.at)
        self.assignment.receipt_written(receipt.partition, number, receipts_offset, receipt.offsets)
        self.counts.accepted += self._end(receipt.partition, accepted, now)
        self.counts.duplicate += self._end(receipt.partition, copies, now)
        self.counts.units_accepted += sum([event.units for event in accepted])
        self._admission.settle(accepted, now)

    def receipt_failed(self, number: int, now: Now) -> bool:
        """The broker did not take this receipt; False if nobody needs it any more, else it is tried again."""
        return self._settlement.failed(number, now.steady_seconds) is None

    def receipt_too_large(self, number: int, now: Now) -> bool:
        """The broker does not take a receipt of this size; False if it cannot be split, and is only tried again."""
        return self._settlement.too_large(number, now.steady_seconds)

    def dead_letter_written(self, number: int, now: Now) -> None:
        """The broker has acknowledged this dead letter: its event has ended."""
        write = self._settlement.written(number)
        if not isinstance(write, DeadLetterWrite):
            raise TypeError("this number is not a dead letter's")
        if self._end(write.event.partition, [write.event], now):
            self.counts.dead_letter(write.reason)
        owner = write.owned_key()
        if owner is not None:
            self._admission.give_up([owner], now)

    def dead_letter_failed(self, number: int, now: Now) -> bool:
        """The broker did not take this dead letter; False if nobody needs it any more, else it is tried again.

        It may stand in its topic all the same: its event comes again, and a letter counts once for its origin.
        """
        given_up = self._settlement.failed(number, now.steady_seconds)
        owner = given_up.owned_key() if isinstance(given_up, DeadLetterWrite) else None
        if owner is not None:
            self._admission.give_up([owner], now)
        return given_up is None

    def committed(self, now: Now) -> None:
        """The broker took the commit."""
        self.commits.accept(now.steady_seconds)

    def commit_failed(self, *, lost: bool) -> None:
        """The broker did not take the commit, or nobody knows; `lost`: we are no longer a member."""
        self.commits.fail(lost=lost)

    # What an operator wants

    def park(self, wanted: Selection, now: Now) -> Leaving:
        """These held events are to end in the dead letters, whatever the provider would say."""
        return self._dispatch.park(wanted, now.steady_seconds)

    # What next

    def poison(self) -> list[UsageEvent]:
        """Events that fail alone, again and again, while others are accepted; they go on being tried."""
        return self._dispatch.poison()

    def awaits_answer(self, now: Now, within_seconds: float) -> bool:
        """A request is under way, and none for longer than this."""
        return 0 <= now.steady_seconds - self._dispatch.oldest_request_at() <= within_seconds

    def waits_for_its_time(self, now: Now) -> bool:
        """Nothing is under way or overdue: what is held waits for its batch or its next try, or was refused."""
        if self.is_inserting(now) or self._settlement.is_writing():
            return False
        due = min(self._dispatch.next_due(), self._settlement.next_due())
        return now.steady_seconds < due < float("inf") or self._holds_only_refused()

    def full_of_refused(self) -> Set[int]:
        """Partitions that take no more records, while everything that is held was refused by the provider."""
        return self.assignment.full() if self._holds_only_refused() else frozenset()

    def has_only_refused_until(self, steady_seconds: float) -> bool:
        """All that is held was refused, and none of it is tried again by itself before then."""
        return self._holds_only_refused() and self._dispatch.next_due() >= steady_seconds

    def _holds_only_refused(self) -> bool:
        return self._dispatch.has_only_refused() and self._settlement.is_quiet()

    def may_send(self, now: Now) -> bool:
        """Whether a body may be written now: the lease."""
        return self.commits.may_send(now.steady_seconds)

    def next(self, now: Now) -> Actions:
        """What is to be done now, and when to ask again if nothing happens before."""
        self.window.expire(now.wall_seconds)
        self._take_verdicts(now)
        sends = self._sends(now)
        self._take_verdicts(now)
        self.counts.batches = self._dispatch.batches_by_trigger
        writes = self._settlement.due(now, at_once=self._is_handing_over or self._is_draining)
        for write in writes.receipts:
            self._expect(write)
        commit = self._commit(now)
        paused = self.assignment.paused(
            now.steady_seconds,
            all_of_them=self._is_draining or self._is_handing_over,
            only_refused_held=self._holds_only_refused(),
        )
        return Actions(sends, writes.receipts, writes.dead_letters, commit, paused, self._wake_at(now))

    def _sends(self, now: Now) -> list[Batch]:
        sends = []
        while self.may_send(now) and not self._is_handing_over:
            batch = self._dispatch.next_batch(now, draining=self._is_draining)
            if batch is None:
                break
            sends.append(batch)
        return sends

    def _commit(self, now: Now) -> Mapping[int, Committed] | None:
        if self._commit_at() > now.steady_seconds:
            return None
        commit = self.assignment.commits(now.wall_seconds)
        self.commits.start(commit, now.steady_seconds)
        return commit

    def _commit_at(self) -> float:
        return self.commits.due_at(self.assignment.positions(), is_holding=self.counts.held > 0)

    def _wake_at(self, now: Now) -> float:
        can_send = now.steady_seconds < self.commits.lease_until() and not self._is_handing_over
        sendable = max(self._dispatch.next_due(), self.commits.waits_until()) if can_send else float("inf")
        return min(sendable, self._settlement.next_due(), self._commit_at(), self._dispatch.next_verdict_at())

    def _expect(self, write: ReceiptWrite) -> None:
        """From now on this receipt may stand in its topic, acknowledged or not."""
        self.assignment.receipt_started(write.receipt.partition, write.number, write.receipt.offsets)

    def _take_verdicts(self, now: Now) -> None:
        verdicts = self._dispatch.verdicts(now.steady_seconds)
        for batch, answer in verdicts.accepted:
            self._settlement.accept(batch, answer, now)
            self.counts.undebited(answer.undebited.values())
        for letter in verdicts.dead_lettered:
            self._settlement.dead_letter(letter.event, letter.reason, letter.detail, owns_key=letter.owns_key)
        self._admission.give_up(verdicts.freed, now)

    # Ends

    def _end(self, partition: int, events: Sequence[Decoded], now: Now) -> int:
        """Notes that these events have ended, in the assignment in which they came; answers how many that moved."""
        ended = self.assignment.ended(partition, events, now.steady_seconds)
        self.counts.held -= ended
        return ended
