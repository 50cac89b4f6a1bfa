"""One process of the simulation: its machine, and what it has under way to the broker."""

import random

from meter.pipeline.actions import MachineOptions
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.machine import Machine
from meter.pipeline.outcome import Outcome
from meter.pipeline.receipt import Owner
from meter.pipeline.settlement import DeadLetterWrite, ReceiptWrite
from meter.pipeline.start import Committed

LEASE_SECONDS = 18.0
MAX_HELD_EVENTS = 24
"""Tight: a few refused events and what has ended behind them fill a partition's share again and again."""
OWNER = Owner("meter", "http://provider", "sandbox")


class Member:
    """One process: its machine, and what it has under way to the broker."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        options = MachineOptions(
            name=f"m{number}",
            owner=OWNER,
            topic="usage",
            batch=BatchLimits(5, 100_000, 1.0),
            max_held_events=MAX_HELD_EVENTS,
            max_held_bytes=1_000_000,
            max_in_flight=3,
            window_max_ids=10_000,
            window_seconds=86_400,
            unknown_customer_wait_seconds=30,
            lease_seconds=LEASE_SECONDS,
        )
        self.machine = Machine(options, random.Random(seed))
        self.positions: dict[int, int] = {}
        self.paused: frozenset[int] = frozenset()
        self.writes: list[ReceiptWrite | DeadLetterWrite] = []
        self.commit: dict[int, Committed] | None = None
        self.commit_started = 0.0
        self.session_until = 0.0
        self.wake_at = 0.0
        self.generation = -1
        self.is_stopped = False
        self.is_cut_off = False
        self.told: dict[int, int] = {}
        """Partition -> the highest offset at which the broker has acknowledged a receipt of this process."""
        self.unheard: list[tuple[str, Outcome]] = []
