"""What the machine is made with, and what it answers."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from meter.pipeline.batch import Batch
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.receipt import Owner
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite
from meter.pipeline.start import Committed


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """Everything that the machine's decisions depend on, apart from what happens."""

    name: str
    """Unique among all processes: batches are named after it."""
    owner: Owner
    topic: str
    batch: BatchLimits
    max_held_events: int
    max_held_bytes: int
    max_in_flight: int
    window_max_ids: int
    window_seconds: float
    unknown_customer_wait_seconds: float
    lease_seconds: float
    """How long, from the start of an accepted commit, a request may still be started."""


@dataclass(frozen=True, slots=True)
class Actions:
    """What is to be done now. Every send, write and commit is to be answered for, once."""

    sends: Sequence[Batch]
    receipts: Sequence[ReceiptWrite]
    dead_letters: Sequence[DeadLetterWrite]
    commit: Mapping[int, Committed] | None
    paused: Set[int]
    """Partitions that are to deliver nothing; all others are to deliver."""
    wake_at: float
    """Steady seconds at which to ask again if nothing happens before."""
