"""The way to the provider and back: which batch is sent next, and what its answer means for each event.

Every event that was handed over leaves in exactly one of three ways: accepted, parked with a reason, or freed
(its assignment is over and nobody is inserting it any more).
"""

from collections import deque
from collections.abc import Container, Mapping, Sequence
from itertools import chain

from meter.pipeline.batch import Batch
from meter.pipeline.buffer import BatchLimits, Buffer
from meter.pipeline.concurrency import MASS_REFUSAL, Gate
from meter.pipeline.event import UsageEvent
from meter.pipeline.now import Now
from meter.pipeline.outcome import Accepted, NotSent, Outcome, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer
from meter.pipeline.parking import Leaving, Selection, Wishes
from meter.pipeline.probing import take_unlike
from meter.pipeline.refusals import Reason, Refusals
from meter.pipeline.retry import UNKNOWN_OUTCOME_PAUSE_SECONDS, Chance, retry_seconds
from meter.pipeline.verdicts import Parked, Verdicts, take_expired

MIN_BODY_BYTES = 2_000
"""Below this a learned body limit stops shrinking: it would be one event or the provider's mistake."""
BODY_LIMIT_GROWTH = 1.05
POISON_FAILURES = 5
"""A batch that fails so often while others succeed has an event in it that no provider will ever answer for."""


class Dispatch:
    """Everything between the buffer and the answer; `live` holds the epochs of the current assignments."""

    def __init__(
        self,
        limits: BatchLimits,
        gate: Gate,
        refusals: Refusals,
        live: Container[int],
        chance: Chance,
        name: str,
    ) -> None:
        self.gate = gate
        self.refusals = refusals
        self.batches_by_trigger: dict[str, int] = {}
        self._buffer = Buffer(limits)
        self._max_bytes = limits.max_bytes
        self._body_limit = float(limits.max_bytes)
        self._live = live
        self._chance = chance
        self._name = name
        self._made = 0
        self._queue: deque[Batch] = deque()
        self._in_flight: dict[str, Batch] = {}
        self._cooling: list[Batch] = []
        self._turn = 0
        self._wishes = Wishes()
        self._verdicts = Verdicts()

    # What comes in

    def add(self, events: Sequence[UsageEvent], steady_seconds: float) -> None:
        """These events are to be billed."""
        self._buffer.add(events, steady_seconds)

    def release(self, epochs: frozenset[int], steady_seconds: float) -> None:
        """These assignments are over: what is not in flight is freed, at once or when no insert can be running."""
        self._verdicts.freed += (*self._buffer.discard(epochs), *self.refusals.discard(epochs))
        self._wishes.release(epochs)
        queued, self._queue = self._queue, deque()
        for batch in queued:
            self._requeue(batch, steady_seconds)

    def answered(self, name: str, outcome: Outcome, now: Now) -> None:
        """The request of the batch with this name has ended so."""
        batch = self._in_flight.pop(name)
        steady = now.steady_seconds
        match outcome:
            case Accepted():
                self._accepted(batch, outcome, now)
            case Rejected():
                self.gate.understood()
                self._refused(batch, outcome.named, outcome.detail, "rejected", steady)
            case UnknownCustomer():
                self.gate.understood()
                self._refused(batch, {}, outcome.detail, "unknown_customer", steady)
            case TooLarge():
                self.gate.understood()
                self._too_large(batch, steady)
            case Refused():
                self.gate.pause(outcome.reason.value, outcome.detail, steady)
                self._requeue(batch, steady)
            case TryAgain():
                self._failed(batch, outcome, steady)
            case NotSent():
                self._requeue(batch, steady)

    def park(self, wanted: Selection, steady_seconds: float) -> Leaving:
        """Held events that are meant end in the dead letters, at once or when nobody can be inserting them."""
        wished = self._wishes.add(wanted, self._buffer, (*self._queue, *self._in_flight.values()), self.refusals)
        parked = self._park_wished(steady_seconds)
        return Leaving(parked, wished - parked)

    # What goes out

    def next_batch(self, now: Now, *, draining: bool) -> Batch | None:
        """The batch to send now, or None; it is in flight from here until `answered`."""
        while len(self._in_flight) < self.gate.limit() and now.steady_seconds >= self.gate.opens_at:
            batch = self._probe(now) if self.gate.paused == MASS_REFUSAL else self._pick(now, draining=draining)
            if batch is None:
                return None
            self._verdicts.parked.extend(self._wishes.take(batch, now.steady_seconds))
            self._verdicts.parked.extend(take_expired(batch, now.wall_seconds))
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
        cooled = [batch for batch in self._cooling if batch.cool_at <= steady_seconds]
        if cooled:
            self._cooling = [batch for batch in self._cooling if batch.cool_at > steady_seconds]
            for batch in cooled:
                self._verdicts.freed.extend(batch.events)
        verdicts, self._verdicts = self._verdicts, Verdicts()
        return verdicts

    def poison(self) -> list[UsageEvent]:
        """Events that fail alone, again and again, while others are accepted; they go on being tried."""
        waiting = chain(self._queue, self._in_flight.values())
        return [batch.events[0] for batch in waiting if self._is_poison_alone(batch)]

    def has_only_refused(self) -> bool:
        """Nothing is left to send but what was refused before, and perhaps poison, which tells nothing of a refusal."""
        if not self.refusals or len(self._buffer):
            return False
        return all(map(self._is_poison_alone, chain(self._queue, self._in_flight.values())))

    def is_quiet(self, steady_seconds: float) -> bool:
        """No request is under way, and none that ended unknown can still be inserting."""
        uncertain = (*self._queue, *self._cooling)
        return not self._in_flight and all(batch.cool_at <= steady_seconds for batch in uncertain)

    def next_due(self) -> float:
        """When there is something to send again, in steady seconds."""
        if len(self._in_flight) >= self.gate.limit():
            return float("inf")  # the next answer says more
        queued = min((batch.not_before for batch in self._queue), default=float("inf"))
        sendable = min(queued, self._buffer.next_due(), self.refusals.next_due())
        if self.gate.paused == MASS_REFUSAL and (self.refusals or len(self._buffer)):
            sendable = self.gate.opens_at  # anything may be a probe
        return max(sendable, self.gate.opens_at)

    def next_verdict_at(self) -> float:
        """When `verdicts` knows more by itself: no earlier try can insert a released event, or somebody may leave."""
        return min([self._wishes.next_due(), *(batch.cool_at for batch in self._cooling)])

    # Choosing

    def _pick(self, now: Now, *, draining: bool) -> Batch | None:
        """Batches to be tried again, new ones and refused events take turns, so that none starves the others."""
        self._turn += 1
        sources = (self._queued, self._fresh, self._refused_again)
        for step in range(len(sources)):
            batch = sources[(self._turn + step) % len(sources)](now, draining)
            if batch is not None:
                return batch
        return None

    def _refused_again(self, now: Now, draining: bool) -> Batch | None:
        return self.refusals.take_due(now.steady_seconds)

    def _queued(self, now: Now, draining: bool) -> Batch | None:
        for _ in range(len(self._queue)):
            batch = self._queue.popleft()
            if batch.not_before <= now.steady_seconds:
                return batch
            self._queue.append(batch)
        return None

    def _fresh(self, now: Now, draining: bool) -> Batch | None:
        trigger = self._buffer.due(now.steady_seconds, draining=draining)
        if trigger is None:
            return None
        self.batches_by_trigger[trigger] = self.batches_by_trigger.get(trigger, 0) + 1
        return Batch(self._new_name(), self._buffer.take(int(self._body_limit)), trigger)

    def _new_name(self) -> str:
        self._made += 1
        return f"{self._name}-{self._made}"

    def _probe(self, now: Now) -> Batch | None:
        """A single event: refused ones and others take turns, so that the customers differ."""
        self._turn += 1
        refused = self.refusals.take_probe() if self._turn % 2 else None
        if refused is not None:
            return refused
        known = [refusal.event for refusal in self.refusals.waiting()]
        other = take_unlike(known, self._queue, self._buffer, self._new_name, now.steady_seconds)
        return other or self.refusals.take_probe()

    # Judging

    def _accepted(self, batch: Batch, outcome: Accepted, now: Now) -> None:
        was_mass = self.gate.paused == MASS_REFUSAL
        self.gate.accepted(batch.started_at, now.steady_seconds)
        self.refusals.accepted(batch.events, batch.started_at)
        self._body_limit = min(self._max_bytes, self._body_limit * BODY_LIMIT_GROWTH)
        self._verdicts.accepted.append((batch, outcome))
        self._wishes.forget(batch.events)
        if was_mass:
            for waiting in self.refusals.take_all():
                self._requeue(waiting, now.steady_seconds)
        self._park_refused()

    def _park_wished(self, steady_seconds: float) -> int:
        found = self._wishes.take_waiting(self._buffer, self._queue, self.refusals, steady_seconds)
        self._queue = deque(batch for batch in self._queue if batch.events)
        self._verdicts.parked.extend(found)
        return len(found)

    def _park_refused(self) -> None:
        for refusal in self.refusals.take_parkable():
            self._verdicts.parked.append(Parked(refusal.event, refusal.reason, refusal.detail))

    def _refused(
        self, batch: Batch, named: Mapping[int, str], detail: str, reason: Reason, steady_seconds: float
    ) -> None:
        if named:
            for index, why in named.items():
                culprit = batch.part(self._new_name(), [batch.events[index]])
                self._refuse_one(culprit, reason, why or detail, steady_seconds)
            rest = [event for index, event in enumerate(batch.events) if index not in named]
            if rest:
                self._requeue(batch.part(self._new_name(), rest), steady_seconds, first=True)
        elif len(batch.events) > 1:
            self._halve(batch, steady_seconds)
        else:
            self._refuse_one(batch, reason, detail, steady_seconds)
        self._judge_refusals(detail, steady_seconds)

    def _judge_refusals(self, detail: str, steady_seconds: float) -> None:
        if self.gate.paused == MASS_REFUSAL or self.refusals.is_mass():
            self.gate.pause(MASS_REFUSAL, detail, steady_seconds)
        else:
            self._park_refused()

    def _refuse_one(self, batch: Batch, reason: Reason, detail: str, steady_seconds: float) -> None:
        if batch.events[0].epoch in self._live:
            self.refusals.add(batch, reason, detail, steady_seconds)
        else:
            self._requeue(batch, steady_seconds)

    def _too_large(self, batch: Batch, steady_seconds: float) -> None:
        """A single event is treated as any refused one: somebody on the way may have become too narrow for all."""
        if len(batch.events) > 1:
            self._body_limit = max(MIN_BODY_BYTES, min(self._body_limit, batch.body_bytes() / 2))
            self._halve(batch, steady_seconds)
        else:
            detail = f"{batch.body_bytes()} bytes are too large"
            self._refuse_one(batch, "too_large", detail, steady_seconds)
            self._judge_refusals(detail, steady_seconds)

    def _halve(self, batch: Batch, steady_seconds: float) -> None:
        middle = len(batch.events) // 2
        for half in (batch.events[middle:], batch.events[:middle]):
            self._requeue(batch.part(self._new_name(), half), steady_seconds, first=True)

    def _failed(self, batch: Batch, outcome: TryAgain, steady_seconds: float) -> None:
        """The batch is tried again; one that fails alone is split until the event to blame stands alone."""
        batch.failures += 1
        if batch.first_failed_at is None:
            batch.first_failed_at = steady_seconds
        is_poison = self._is_poison(batch)
        if not is_poison or outcome.retry_after_seconds is not None:
            self.gate.failed(outcome.detail, outcome.retry_after_seconds, batch.started_at, steady_seconds)
        is_split = is_poison and len(batch.events) > 1
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
            self._halve(batch, steady_seconds)
        else:
            self._requeue(batch, steady_seconds)

    def _is_poison(self, batch: Batch) -> bool:
        """It has failed again and again, and others were accepted meanwhile: the provider is well."""
        first = batch.first_failed_at
        return batch.failures >= POISON_FAILURES and first is not None and self.refusals.has_accepted_since(first)

    def _is_poison_alone(self, batch: Batch) -> bool:
        return len(batch.events) == 1 and self._is_poison(batch)

    def _requeue(self, batch: Batch, steady_seconds: float, *, first: bool = False) -> None:
        """Back into the queue, without the events whose assignment is over."""
        kept = [event for event in batch.events if event.epoch in self._live]
        if len(kept) < len(batch.events):
            gone = [event for event in batch.events if event.epoch not in self._live]
            if batch.cool_at > steady_seconds:
                self._cooling.append(batch.part(self._new_name(), gone))
            else:
                self._verdicts.freed.extend(gone)
            batch.events = kept
        if kept:
            self._queue.appendleft(batch) if first else self._queue.append(batch)
