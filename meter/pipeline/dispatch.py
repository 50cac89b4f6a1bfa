"""The way to the provider and back: which batch is sent next, and what its answer means for each event.

Every event that was handed over leaves in exactly one of three ways: accepted, dead-lettered with a reason, or freed
(its assignment is over and nobody is inserting it any more).
"""

from collections.abc import Container, Mapping, Sequence
from itertools import chain

from meter.pipeline.batch import Batch
from meter.pipeline.buffer import BatchLimits, Buffer
from meter.pipeline.concurrency import MASS_REFUSAL, Gate
from meter.pipeline.event import UsageEvent
from meter.pipeline.holding import Holding
from meter.pipeline.now import Now
from meter.pipeline.outcome import Accepted, NotSent, Outcome, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer
from meter.pipeline.parking import Leaving, Places, Selection, Wishes
from meter.pipeline.queue import BatchQueue
from meter.pipeline.refusals import Reason, Refusals
from meter.pipeline.retry import UNKNOWN_OUTCOME_PAUSE_SECONDS, Chance, retry_seconds
from meter.pipeline.turns import Turns
from meter.pipeline.verdicts import DeadLettered, Verdicts, take_expired

POISON_FAILURES = 5
"""A batch that fails so often while others succeed has an event in it that no provider will ever answer for."""


class Dispatch:
    """Everything between the buffer and the answer; `live` holds the epochs of the current assignments."""

    def __init__(
        self,
        limits: BatchLimits,
        gate: Gate,
        refusals: Refusals,
        holding: Holding,
        live: Container[int],
        chance: Chance,
        name: str,
    ) -> None:
        self.gate = gate
        self.refusals = refusals
        self._buffer = Buffer(limits)
        self._live = live
        self._chance = chance
        self._name = name
        self._made = 0
        self._queue = BatchQueue(live, self._new_name)
        self._in_flight: dict[str, Batch] = {}
        self._turns = Turns(self._buffer, self._queue, refusals, gate, self._new_name)
        self._wishes = Wishes(Places(self._buffer, self._queue, self._in_flight, refusals, holding))
        self._verdicts = Verdicts()

    # What comes in

    def add(self, events: Sequence[UsageEvent], steady_seconds: float) -> None:
        """These events are to be billed."""
        self._buffer.add(events, steady_seconds)

    def release(self, epochs: frozenset[int], steady_seconds: float) -> None:
        """These assignments are over: what is not in flight is freed, at once or when no insert can be running."""
        self._verdicts.freed += (*self._buffer.discard(epochs), *self.refusals.discard(epochs))
        self._wishes.release(epochs)
        self._queue.release(steady_seconds)

    def answered(self, name: str, outcome: Outcome, now: Now) -> None:
        """The request of the batch with this name has ended so."""
        batch = self._in_flight.pop(name)
        steady = now.steady_seconds
        match outcome:
            case Accepted():
                self._accepted(batch, outcome, now)
            case Rejected():
                self.gate.understood(batch.started_at)
                self._refused(batch, outcome.named, outcome.detail, "rejected", steady)
            case UnknownCustomer():
                self.gate.understood(batch.started_at)
                self._refused(batch, {}, outcome.detail, "unknown_customer", steady)
            case TooLarge():
                self.gate.understood(batch.started_at)
                self._too_large(batch, steady)
            case Refused():
                self.gate.pause(outcome.reason.value, outcome.detail, batch.started_at, steady)
                self._queue.put(batch, steady)
            case TryAgain():
                self._failed(batch, outcome, steady)
            case NotSent():
                for event in batch.events:
                    event.attempts -= 1  # nothing of it has left
                self._queue.put(batch, steady)

    def park(self, wanted: Selection, steady_seconds: float) -> Leaving:
        """Held events that are meant end in the dead letters, at once or when nobody can be inserting them."""
        wished = self._wishes.add(wanted)
        self._park_wished(steady_seconds)
        return self._wishes.what_became_of(wished)

    # What goes out

    @property
    def batches_by_trigger(self) -> dict[str, int]:
        """How many were made, by what made them due."""
        return self._turns.batches_by_trigger

    def next_batch(self, now: Now, *, draining: bool) -> Batch | None:
        """The batch to send now, or None; it is in flight from here until `answered`."""
        while len(self._in_flight) < self.gate.limit() and now.steady_seconds >= self.gate.opens_at:
            batch = self._turns.take(now, draining=draining)
            if batch is None:
                return None
            self._verdicts.dead_lettered.extend(self._wishes.take(batch, now.steady_seconds))
            self._verdicts.dead_lettered.extend(take_expired(batch, now.wall_seconds))
            if batch.events:
                batch.started_at = now.steady_seconds
                self._in_flight[batch.name] = batch
                for event in batch.events:
                    event.attempts += 1
                return batch
        return None

    def verdicts(self, steady_seconds: float) -> Verdicts:
        """What became of events since the last call."""
        if steady_seconds >= self._wishes.next_due():
            self._park_wished(steady_seconds)
        self._verdicts.freed += self._queue.take_freed(steady_seconds)
        verdicts, self._verdicts = self._verdicts, Verdicts()
        return verdicts

    def poison(self) -> list[UsageEvent]:
        """Events that fail alone, again and again, while others are accepted; they go on being tried."""
        waiting = chain(self._queue, self._in_flight.values())
        return [batch.events[0] for batch in waiting if batch.is_poison_alone()]

    def has_only_refused(self) -> bool:
        """Nothing is left to send but what was refused before, and perhaps poison, which tells nothing of a refusal."""
        if not self.refusals or len(self._buffer):
            return False
        return all(batch.is_poison_alone() for batch in chain(self._queue, self._in_flight.values()))

    def is_quiet(self, steady_seconds: float) -> bool:
        """No request is under way, and none that ended unknown can still be inserting."""
        return not self._in_flight and not self._queue.inserting(steady_seconds)

    def oldest_request_at(self) -> float:
        """When the request began that has been under way for longest, in steady seconds; infinity when none is."""
        return min((batch.started_at for batch in self._in_flight.values()), default=float("inf"))

    def next_due(self) -> float:
        """When there is something to send again, in steady seconds."""
        if len(self._in_flight) >= self.gate.limit():
            return float("inf")  # the next answer says more
        return max(self._turns.next_due(), self.gate.opens_at)

    def next_verdict_at(self) -> float:
        """When `verdicts` knows more by itself: no earlier try can insert a released event, or somebody may leave."""
        return min(self._wishes.next_due(), self._queue.next_freed_at())

    def _new_name(self) -> str:
        self._made += 1
        return f"{self._name}-{self._made}"

    # Judging

    def _accepted(self, batch: Batch, outcome: Accepted, now: Now) -> None:
        is_well = self.gate.accepted(batch.started_at, now.steady_seconds)
        self.refusals.accepted(batch.events, batch.started_at)
        self._verdicts.accepted.append((batch, outcome))
        if self.refusals.in_doubt and is_well:
            self._try_again(self.refusals.take_all(), now.steady_seconds)
        self._judge(now.steady_seconds, once_refused=batch.refused_as in ("rejected", "too_large"))

    def _park_wished(self, steady_seconds: float) -> None:
        self._verdicts.dead_lettered.extend(self._wishes.take_waiting(steady_seconds))
        self._queue.drop_empty()

    def _judge(self, steady_seconds: float, *, once_refused: bool = False) -> None:
        judgement = self.refusals.judge(once_refused=once_refused)
        self._try_again(judgement.again, steady_seconds)
        self._verdicts.dead_lettered += [DeadLettered(one.event, one.reason, one.detail) for one in judgement.final]

    def _try_again(self, batches: Sequence[Batch], steady_seconds: float) -> None:
        for batch in batches:
            self._queue.put(batch, steady_seconds)

    def _refused(
        self, batch: Batch, named: Mapping[int, str], detail: str, reason: Reason, steady_seconds: float
    ) -> None:
        if named:
            for index, why in named.items():
                self._refuse_one(self._alone(batch, index), reason, why or detail, steady_seconds)
            rest = [event for index, event in enumerate(batch.events) if index not in named]
            if rest:
                self._queue.put(batch.part(self._new_name(), rest), steady_seconds, first=True)
        elif len(batch.events) > 1:
            self._queue.put_halves(batch, steady_seconds)
        else:
            self._refuse_one(batch, reason, detail, steady_seconds)
        self._judge_refusals(detail, batch.started_at, steady_seconds)

    def _alone(self, batch: Batch, index: int) -> Batch:
        return batch if len(batch.events) == 1 else batch.part(self._new_name(), [batch.events[index]])

    def _judge_refusals(self, detail: str, started_at: float, steady_seconds: float) -> None:
        if self.refusals.is_mass():
            self.refusals.in_doubt = True
        if self.refusals.in_doubt:
            self.gate.pause(MASS_REFUSAL, detail, started_at, steady_seconds)
        else:
            self._judge(steady_seconds)

    def _refuse_one(self, batch: Batch, reason: Reason, detail: str, steady_seconds: float) -> None:
        if batch.events[0].epoch in self._live:
            self.refusals.add(batch, reason, detail, steady_seconds)
        else:
            self._queue.put(batch, steady_seconds)

    def _too_large(self, batch: Batch, steady_seconds: float) -> None:
        """A single event is treated as any refused one: somebody on the way may have become too narrow for all."""
        if len(batch.events) > 1:
            self.gate.too_large(batch.body_bytes())
            self._queue.put_halves(batch, steady_seconds)
        else:
            detail = f"{batch.body_bytes()} bytes is too large"
            self._refuse_one(batch, "too_large", detail, steady_seconds)
            self._judge_refusals(detail, batch.started_at, steady_seconds)

    def _failed(self, batch: Batch, outcome: TryAgain, steady_seconds: float) -> None:
        """The batch is tried again; one that fails alone is split until the event to blame stands alone."""
        self._count_failure(batch)
        if not batch.is_poison or outcome.retry_after_seconds is not None:
            self.gate.failed(outcome.detail, outcome.retry_after_seconds, batch.started_at, steady_seconds)
        is_split = batch.is_poison and len(batch.events) > 1
        wait = retry_seconds(
            1 if is_split else batch.failures,
            self._chance,
            outcome_unknown=outcome.outcome_unknown,
            retry_after_seconds=outcome.retry_after_seconds,
        )
        batch.not_before = steady_seconds + wait
        if outcome.outcome_unknown:
            batch.cool_at = steady_seconds + UNKNOWN_OUTCOME_PAUSE_SECONDS
            for event in batch.events:
                event.unknown = True
        if is_split:
            batch.failures = POISON_FAILURES - 1  # one more is enough to split the half with the event to blame
            self._queue.put_halves(batch, steady_seconds)
        else:
            self._queue.put(batch, steady_seconds)

    def _count_failure(self, batch: Batch) -> None:
        """It is poison if others were accepted since its try before this one: the provider is well.

        What was poison stays it while nothing else fails, though there may be nothing else to be accepted.
        """
        others_accepted = batch.failed_try_at is not None and self.refusals.has_accepted_since(batch.failed_try_at)
        batch.failures += 1
        batch.failed_try_at = batch.started_at
        stays_poison = batch.is_poison and not self.gate.failures
        batch.is_poison = batch.failures >= POISON_FAILURES and (others_accepted or stays_poison)
