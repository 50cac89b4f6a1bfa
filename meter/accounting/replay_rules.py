"""Which records of a range are sent again, and as what: decided from plain values.

A record that is sent again carries the idempotency key and the time that it has where it stands, so that both are
copies of each other, for meter and for the provider. What is remembered is billed once however often it is sent; so the
question is how far back keys are remembered.
"""

import math
from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from meter.accounting.billed import Billed
from meter.accounting.letters import customer_of
from meter.accounting.outgoing import Outgoing, carrying
from meter.pipeline import headers as names
from meter.pipeline import redriven
from meter.pipeline.event import InvalidEvent, Record, UsageEvent
from meter.pipeline.place import Place
from meter.pipeline.rules import EXPIRED, FUTURE

_CLOCKS_DIFFER_SECONDS = 3600.0
"""A record may say that it was made after it was billed: brokers let producers' clocks be an hour ahead."""


class Left(StrEnum):
    """Why a record is not sent again."""

    REPLAYED = "replayed"  # a replay has sent it: the record that it is a copy of counts
    EXPIRED = EXPIRED
    FUTURE = FUTURE
    INVALID = "invalid"
    DEAD_LETTERED = "dead_lettered"
    ALREADY_BILLED = "already_billed"  # only without those
    BEYOND_MEMORY = "beyond_memory"  # perhaps billed, and perhaps forgotten


class Memory(NamedTuple):
    """How far back it is sure that keys are remembered."""

    provider_seconds: float | None
    """The provider's; None when nobody knows."""
    window_seconds: float
    window_max_ids: int

    def since(self, wall_seconds: float, window_since: float = -math.inf) -> float:
        """Unix; what was billed from then on is recognised. Where the provider's is not known, meter's own counts.

        `window_since` is when a window that is filled from receipts begins: they may be more than `window_max_ids`,
        and the oldest may have expired.
        """
        if self.provider_seconds is not None:
            return wall_seconds - self.provider_seconds
        return max(wall_seconds - self.window_seconds, window_since)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records of the range are meant."""

    customers: frozenset[str] = frozenset()
    """None of them means everybody's."""
    unbilled: bool = False
    """Only records that no receipt lists as accepted."""
    beyond_memory: bool = False
    """Also what may have been forgotten since it was billed."""


class Sent(NamedTuple):
    """A record that goes out, and whether a receipt calls it accepted already."""

    outgoing: Outgoing
    customer: str
    is_billed: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What the topics say about the range."""

    billed: Billed
    letters: Set[Place]
    """Records with a dead letter."""
    conflicts: Set[Place]
    """Those of them whose key is that of another event."""

    def is_unbilled(self, made_at: float) -> bool:
        """Whether an event of that time that no receipt names was never billed."""
        return made_at >= self.billed.complete_since + _CLOCKS_DIFFER_SECONDS


def customer(record: Record, event: UsageEvent | InvalidEvent) -> str:
    """Whose it is, as far as it can be read."""
    return event.customer if isinstance(event, UsageEvent) else customer_of(record.value, record.headers)


def leave(
    record: Record, event: UsageEvent | InvalidEvent, place: Place, is_billed: bool, choice: Choice, known: Known
) -> Left | None:
    """Why this one is not sent, however well keys are remembered; None when it may be."""
    if any(name == names.REPLAYED for name, _ in record.headers):
        return Left.REPLAYED
    if isinstance(event, InvalidEvent):
        return Left(event.reason) if event.reason in (EXPIRED, FUTURE) else Left.INVALID
    if place in known.conflicts or (place in known.letters and not is_billed):
        return Left.DEAD_LETTERED
    return Left.ALREADY_BILLED if is_billed and choice.unbilled else None


def is_sure(record: Record, is_billed: bool, known: Known, remembered_since: float) -> bool:
    """Whether sending it again bills nothing twice: it is remembered, or it was never billed."""
    made_at = made_milliseconds(record) / 1000
    return made_at >= remembered_since or (not is_billed and known.is_unbilled(made_at))


def again(record: Record, event: UsageEvent, place: Place, at: str) -> Outgoing:
    """The record as it is sent again; `at` is ISO 8601 UTC."""
    past = redriven.past(record.headers)
    carried = {
        names.ORIGIN: past.origin or str(place),
        names.KEY: event.key,
        names.TIMESTAMP: str(made_milliseconds(record)),
        names.ATTEMPTS: str(past.attempts),
        names.REDRIVES: str(past.redrives),
        names.REPLAYED: at,
    }
    return carrying(record, place.partition, carried)


def made_milliseconds(record: Record) -> int:
    """When the event's first record was made."""
    return redriven.past(record.headers).timestamp_milliseconds or max(record.timestamp or 0, 0)
