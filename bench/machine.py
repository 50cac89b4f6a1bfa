"""What the machine alone costs an event, step by step, without Kafka and HTTP: `python -m bench.machine`.

The whole way of each event is driven as the worker drives it: records in chunks, batches out, receipts written,
positions committed. For changes to the pipeline this is steadier than the whole daemon: every step is taken in each
round, and its best time counts.
"""

import gc
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from bench.decode import BenchRecord
from bench.events import CUSTOMERS, PRODUCT, customer_of, event
from meter.pipeline import receipt as receipts
from meter.pipeline.actions import Actions, MachineOptions
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.event import Record
from meter.pipeline.machine import Machine
from meter.pipeline.now import Now
from meter.pipeline.outcome import Accepted
from meter.pipeline.receipt import Owner
from meter.pipeline.start import Choice, Start
from meter.worker import RECORDS_PER_POLL

EVENTS = 40_000
ROUNDS = 15
CHUNK = RECORDS_PER_POLL
PARTITIONS = 4
NOW = Now(1000.0, 1_763_930_000.0)
OPTIONS = MachineOptions(
    name="bench",
    owner=Owner("meter", "http://provider", "sandbox"),
    topic="usage-events",
    batch=BatchLimits(1000, 900_000, 1.0),
    max_held_events=50_000,
    max_held_bytes=67_108_864,
    max_in_flight=4,
    window_max_ids=2_000_000,
    window_seconds=86_400.0,
    unknown_customer_wait_seconds=300.0,
    lease_seconds=1e9,
)


class Drive:
    """One machine with all its partitions, and the CPU seconds of each of its steps."""

    def __init__(self) -> None:
        self.machine = Machine(OPTIONS, random.Random(1))  # noqa: S311  # a bench, no secret
        self.spent: list[tuple[str, float]] = []
        starts = {partition: Start(0) for partition in range(PARTITIONS)}
        self.machine.assigned("cluster", starts, Choice("earliest", NOW.wall_seconds, PARTITIONS), 0.0, NOW)
        for partition in starts:
            self.machine.window_filled(partition)

    def bill(self, chunks: Sequence[tuple[int, Sequence[Record]]]) -> None:
        """Every chunk from its records to the commit of their end."""
        for partition, records in chunks:
            started = time.process_time()
            self.machine.records(partition, records, NOW)
            self._note("records", started)
            self._carry_out(self._next())

    def _next(self) -> Actions:
        started = time.process_time()
        actions = self.machine.next(NOW)
        self._note("next", started)
        return actions

    def _carry_out(self, actions: Actions) -> None:
        for batch in actions.sends:
            answer = Accepted(["usg_00000000000000000000"] * len(batch.events))
            started = time.process_time()
            self.machine.answered(batch.name, answer, NOW)
            self._note("answered", started)
        for write in actions.receipts:
            started = time.process_time()
            receipts.encode(write.receipt)
            encoded = self._note("receipt encode", started)
            self.machine.receipt_written(write.number, write.number, NOW)
            self._note("receipt written", encoded)
        if actions.commit:
            self.machine.committed(NOW)
        if actions.sends or actions.receipts:
            self._carry_out(self._next())

    def _note(self, step: str, started: float) -> float:
        now = time.process_time()
        self.spent.append((step, now - started))
        return now


def chunks_of_events() -> list[tuple[int, Sequence[Record]]]:
    """The events of the throughput bench, as the worker gets them."""
    chance = random.Random(7)  # noqa: S311  # reproducible, no secret
    made: list[tuple[int, Sequence[Record]]] = []
    for number in range(EVENTS // CHUNK):
        first = number // PARTITIONS * CHUNK
        values = [
            event(
                customer_of(chance.randrange(CUSTOMERS)),
                PRODUCT,
                str(UUID(int=chance.getrandbits(128))),
                chance.randrange(1, 10),
                f"2025-11-23T20:00:{number // 16 % 60:02d}.{(number * 60 + index // 8) % 1000:03d}Z",
            )
            for index in range(CHUNK)
        ]
        made.append((number % PARTITIONS, [BenchRecord(first + at, value) for at, value in enumerate(values)]))
    return made


def main() -> None:
    chunks = chunks_of_events()
    gc.freeze()
    gc.set_threshold(50_000)
    rounds: list[list[tuple[str, float]]] = []
    for _ in range(ROUNDS):
        drive = Drive()
        drive.bill(chunks)
        if drive.machine.counts.accepted != EVENTS:
            raise SystemExit(f"bench: not everything was billed: {drive.machine.counts}")
        rounds.append(drive.spent)
    best: defaultdict[str, float] = defaultdict(float)
    for same_step in zip(*rounds, strict=True):
        step, seconds = min(same_step)
        best[step] += seconds
    best["all"] = sum(best.values())
    for step, seconds in best.items():
        print(f"{step:<16}{seconds / EVENTS * 1e6:>8.2f} us per event")


if __name__ == "__main__":
    main()
