"""How this replica stands: the facts behind `/status`, `/readyz`, `/healthz` and the levels in `/metrics`."""

from collections.abc import Mapping, Sized
from typing import Any

from meter import health
from meter.clock import Clock
from meter.errors import Silent, Unavailable
from meter.metrics import Metrics, Readings
from meter.pipeline.event import UsageEvent
from meter.pipeline.machine import Machine
from meter.worker import Worker

MAX_POISON_SHOWN = 20
MAX_REFUSED_SHOWN = 20
STALLED_LOOP_SECONDS = 10.0
"""The worker asks the machine at least once a second; so much later its task is gone or blocked."""
_ANSWERED_LATE_SECONDS = 2.0
"""A request that has run out of time is answered for a little later, on a busy machine."""


class Standing:
    """Told by the worker and the daemon what happens; asked by the HTTP routes how things are."""

    def __init__(
        self,
        machine: Machine,
        metrics: Metrics,
        clock: Clock,
        limits: Sized,
        stuck_after_seconds: float,
        request_seconds: float,
    ) -> None:
        self.worker: Worker | None = None
        """The membership in force, if any."""
        self.kafka_trouble: str | None = "not connected yet"
        """Why there is no connection to the broker, or None."""
        self.draining = False
        self._machine = machine
        self._metrics = metrics
        self._clock = clock
        self._limits = limits
        self._stuck_after_seconds = stuck_after_seconds
        self._answered_within_seconds = request_seconds + _ANSWERED_LATE_SECONDS
        self._failing_since: float | None = None
        self._write_trouble: str | None = None
        self._client_suspected = False
        self._idleness = health.Idleness(clock.now().steady_seconds)
        self._sent_batches = 0
        self._behind = 0
        self._read_to: dict[int, int] = {}

    # Told

    def batch_sent(self, events: int) -> None:
        """A batch of so many events is on its way to the provider."""
        self._metrics.batch_events.observe(events)
        self._sent_batches += 1

    def batch_answered(self, outcome: str, seconds: float) -> None:
        """Its request has ended so."""
        self._metrics.billing_request("bulk", outcome)
        self._metrics.flush_seconds.observe(seconds)
        if outcome == "retry" and self._failing_since is None:
            self._failing_since = self._clock.now().steady_seconds
        elif outcome != "retry":
            self._failing_since = None

    def kafka_lost(self, error: Unavailable) -> None:
        """The membership has ended, for this reason, and is recreated."""
        self.kafka_trouble = str(error)
        self._client_suspected = self._client_suspected and isinstance(error, Silent)

    def client_is_silent(self) -> None:
        """It delivers nothing although there are records, and is about to be recreated."""
        self._client_suspected = True

    def write_waits(self, reason: str | None) -> None:
        """Receipts or dead letters cannot be written, because of this; None: they can again."""
        self._write_trouble = reason

    def billing_paused(self, reason: str | None) -> None:
        """Nothing but probes is sent, because of this; None: sending goes on."""
        self._metrics.billing_paused(reason)

    def beat(self) -> bool:
        """Notes what has moved since the last beat; False when only a restart can help. To be called all the time."""
        moved = self._count_moved()
        if moved != self._idleness.moved:
            self._client_suspected = False
        self._behind = self._last_known_behind()
        no_excuse = health.has_no_excuse(self._facts())
        self._idleness.look(moved, no_excuse=no_excuse, steady_seconds=self._clock.now().steady_seconds)
        return self.alive()

    def _count_moved(self) -> int:
        """Everything that was done so far: events ended, requests begun, and offsets read over while nothing was held.

        What was released and read again is nothing new.
        """
        counts = self._machine.counts
        if not counts.held:
            reading = map(self._machine.assignment.progress, self._machine.assignment.partitions())
            for progress in filter(None, reading):
                self._read_to[progress.partition] = max(progress.position, self._read_to.get(progress.partition, 0))
        ended = counts.accepted + counts.duplicate + counts.dead_lettered_total
        return ended + self._sent_batches + sum(self._read_to.values())

    # Asked: nothing of it changes anything

    def status(self) -> Mapping[str, Any]:
        """The body of `/status`."""
        gate, reasons = self._machine.gate, self.reasons()
        return {
            "events": self._machine.counts.events(),
            "partitions": [self._partition(partition) for partition in sorted(self._machine.assignment.partitions())],
            "billing": {
                "state": gate.state(),
                "reason": gate.paused,
                "detail": gate.detail,
                "in_flight_limit": gate.limit(),
                "poison": [_origin(event) for event in self._machine.poison()[:MAX_POISON_SHOWN]],
                "refused": self._refused(),
            },
            "batches": dict(self._machine.counts.batches),
            "units_accepted": self._machine.counts.units_accepted,
            "not_debited": dict(self._machine.counts.not_debited),
            "dead_lettered": dict(self._machine.counts.dead_lettered),
            "lost_records": self._machine.counts.lost_records,
            "cut_logs": self._machine.counts.cut_logs,
            "dedupe_ids": len(self._machine.window),
            "ready": not reasons,
            "reasons": reasons,
        }

    def reasons(self) -> list[str]:
        """Why this replica is not ready.

        Limits questions that fail are none: they are answered from stale snapshots or by policy, here as anywhere.
        """
        return health.reasons(self._facts(), self._stuck_after_seconds)

    def alive(self) -> bool:
        """False when only a restart can help."""
        last_step_at = None if self.worker is None else self.worker.last_step_at
        stalled = last_step_at is not None and self._seconds_since(last_step_at) > STALLED_LOOP_SECONDS
        return not stalled and not health.is_stuck(self._facts(), self._stuck_after_seconds)

    def readings(self) -> Readings:
        """The levels of one scrape."""
        every = [self._partition(partition) for partition in self._machine.assignment.partitions()]
        committed_at = self._machine.commits.accepted_at
        return Readings(
            lags={one["partition"]: one["lag"] for one in every if one["lag"] is not None},
            commit_age_seconds=None if committed_at < 0 else self._seconds_since(committed_at),
            in_flight_limit=self._machine.gate.limit(),
            poison_events=len(self._machine.poison()),
            dedupe_ids=len(self._machine.window),
            dedupe_reach_seconds=self._machine.window.reach_seconds(self._clock.now().wall_seconds),
            windows_filling=len(self._machine.assignment.unfilled()),
            limits_entries=len(self._limits),
        )

    def _facts(self) -> health.Facts:
        machine, gate = self._machine, self._machine.gate
        now = self._clock.now()
        failing_since = self._failing_since if machine.counts.held else None  # what was held went to somebody else
        return health.Facts(
            joined=self.worker is not None and self.worker.listener.joined,
            kafka_trouble=self.kafka_trouble or (self.worker.ends_trouble if self.worker is not None else None),
            filling=machine.assignment.unfilled(),
            filling_trouble=self._filling_trouble(),
            taking_over_seconds=max(0.0, -self._seconds_since(machine.commits.waits_until())),
            waiting_to_write=self._write_trouble,
            billing_paused=gate.paused if machine.counts.held or self._last_known_behind() else None,
            billing_failing_seconds=0.0 if failing_since is None else self._seconds_since(failing_since),
            billing_trouble=gate.detail,
            waiting=machine.waits_for_its_time(now),
            awaits_answer=machine.awaits_answer(now, self._answered_within_seconds),
            blocked=machine.assignment.blocked(now.steady_seconds),
            full_of_refused=machine.full_of_refused(),
            held=machine.counts.held,
            behind=self._last_known_behind(),
            client_suspected=self._client_suspected,
            idle_seconds=self._idleness.seconds(now.steady_seconds),
            draining=self.draining,
        )

    def _refused(self) -> dict[str, Any]:
        """Events that wait because the provider refused them: how many, and what it said to the first."""
        waiting = self._machine.refusals.waiting()
        first = [
            {"origin": _origin(one.event), "reason": one.reason, "detail": one.detail}
            for one in waiting[:MAX_REFUSED_SHOWN]
        ]
        return {"events": len(waiting), "first": first}

    def _filling_trouble(self) -> str:
        waits = {} if self.worker is None else self.worker.listener.filling_waits
        return next(iter(waits.values()), "")

    def _last_known_behind(self) -> int:
        """Nobody knows it while the client is recreated or the broker does not say: then nothing has changed yet."""
        known = None if self.worker is None else self.worker.behind_total()
        return self._behind if known is None else known

    def _partition(self, partition: int) -> dict[str, Any]:
        progress = self._machine.assignment.progress(partition)
        bounds = self.worker.ends.get(partition) if self.worker is not None else None
        committed = self._machine.commits.accepted.get(partition)
        end = None if bounds is None else max(bounds.end, committed or 0)
        return {
            "partition": partition,
            "position": None if progress is None else progress.position,
            "committed": committed,
            "end": end,
            "lag": None if end is None or committed is None else end - committed,
        }

    def _seconds_since(self, steady_seconds: float) -> float:
        return self._clock.now().steady_seconds - steady_seconds


def _origin(event: UsageEvent) -> str:
    return f"{event.partition}:{event.record.offset}"
