"""A replica whose machine is driven by hand, seen as operators and the orchestrator see it."""

from typing import Any

from meter.metrics import Metrics
from meter.pipeline.outcome import Refusal, Refused, Rejected
from meter.standing import Standing
from tests.builders import Driver, bad_record, records
from tests.clocks import HandClock
from tests.shell import Process


class Replica:
    """A member of the group with partitions 0 and 1."""

    def __init__(self, stuck_after_seconds: float = 60.0, request_seconds: float = 0.5, **changes: Any) -> None:
        self.clock = HandClock()
        self.driver = Driver(0, 1, at=100.0, **changes)
        self.standing = Standing(
            self.driver.machine, Metrics("test"), self.clock, (), stuck_after_seconds, request_seconds
        )
        process = Process()
        process.machine = self.driver.machine
        self.standing.worker = self.worker = process.worker()
        self.standing.kafka_trouble = None
        self.worker.listener.joined = True
        self.worker.last_step_at = 100.0

    def reasons(self) -> list[str]:
        """Their names."""
        return [reason.split(":")[0] for reason in self.standing.reasons()]

    def refuse_until_full(self) -> None:
        """Records come, and the provider refuses each of their events, until no more fit in."""
        self.driver.feed(0, *records(0, 24))
        while not self.driver.machine.full_of_refused():
            self.driver.pass_time(0.5)
            for _ in range(len(self.driver.sends)):
                named = dict.fromkeys(range(len(self.driver.sends[0].events)), "no such field")
                self.driver.answer(Rejected(named, "Validation failed"))

    def pass_time(self, seconds: float) -> None:
        """The worker goes on asking."""
        self.clock.turn(seconds)
        self.worker.last_step_at = self.clock.now().steady_seconds


def every_readiness_reason() -> set[str]:
    """The names of all reasons that a replica gives, each brought about by what really causes it."""
    away, blocked, failing, full, new, paused, rest, stuck = (Replica(max_held_events=6) for _ in range(8))
    away.standing.worker, away.standing.kafka_trouble = None, "127.0.0.1:9092 does not answer"
    new.driver.assign(2, fill=False, wait_seconds=5.0)
    rest.standing.draining = True
    rest.standing.write_waits("the receipts topic cannot be written")
    for replica in (blocked, failing, paused, stuck):
        replica.driver.feed(0, *records(0, 3))
    blocked.driver.feed(0, bad_record(3))
    blocked.driver.write()
    failing.standing.batch_answered("retry", 0.1)
    paused.driver.answer(Refused(Refusal.UNAUTHORIZED, "Invalid API key"))
    assert stuck.standing.beat()  # its time runs from the first one
    for replica in (blocked, failing, stuck):
        replica.pass_time(61.0)
    full.refuse_until_full()
    every = (away, blocked, failing, full, new, paused, rest, stuck)
    return {name for replica in every for name in replica.reasons()}
