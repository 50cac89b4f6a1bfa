"""Which dead letters go back to the source topic, and as what: decided from plain values.

A redriven event keeps the idempotency key that it had, whatever it was derived from, so that the event and its redriven
self are copies of each other, for meter and for the provider. Sent twice it is billed once.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from meter.accounting.letters import Case, Letter
from meter.accounting.outgoing import Outgoing, carrying
from meter.pipeline import headers as names
from meter.pipeline import identity, redriven
from meter.pipeline.event import InvalidEvent, Origin, Record, decode
from meter.pipeline.headers import Headers
from meter.pipeline.place import Place, place_of
from meter.pipeline.settlement import CONFLICT


class Skip(StrEnum):
    """Why a letter stays where it is."""

    ALREADY_REDRIVEN = "already_redriven"
    ALREADY_BILLED = "already_billed"  # a receipt says so
    CONFLICT = "conflict"  # another event was billed under its key
    UNKNOWN_OUTCOME = "unknown_outcome"  # an earlier try may have been inserted after all
    LOOPED = "looped"  # redriven too often
    OTHER_TOPIC = "other_topic"  # it came from another topic than ours
    STILL_INVALID = "still_invalid"  # it would die again at once
    OUT_OF_RETENTION = "out_of_retention"  # it was cut, and its origin is gone


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be redriven, beside the filter."""

    topic: str
    new_key: bool = False
    """A conflict is billed as an event of its own."""
    include_unknown: bool = False
    """Also what may have been inserted by an earlier try."""
    max_redrives: int = 3


class Note(NamedTuple):
    """A record for the dead-letter topic: this letter was redriven."""

    key: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class _Revived:
    """The record as it would stand at its origin today."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def refuse(case: Case, rules: Rules) -> Skip | None:
    """Why this case is not redriven, as far as its letter alone tells; None when it may be."""
    letter = case.letter
    origin = place_of(letter.origin)
    if origin is None or origin.topic != rules.topic:
        return Skip.OTHER_TOPIC
    if not case.is_open:
        return Skip.ALREADY_REDRIVEN
    if letter.redrives >= rules.max_redrives:
        return Skip.LOOPED
    if letter.reason == CONFLICT and not rules.new_key:
        return Skip.CONFLICT
    if letter.is_unknown and not rules.include_unknown:
        return Skip.UNKNOWN_OUTCOME
    return None


def revive(letter: Letter, record: Record, cluster_id: str, wall_seconds: float) -> Outgoing | Skip:
    """What is sent for this letter: `record` is the letter's own, or for one that was cut the record at its origin."""
    origin = place_of(letter.origin) or Place("", 0, 0)
    past = redriven.past(record.headers)
    made_at = past.timestamp_milliseconds or record.timestamp or 0
    given = names.encoded({names.KEY: _key(letter)} if letter.key else {})
    as_it_was = _Revived(origin.offset, made_at, record.key, record.value, names.foreign(record.headers) + given)
    event = decode(as_it_was, Origin(cluster_id, origin.topic, origin.partition), wall_seconds)
    if isinstance(event, InvalidEvent):
        return Skip.STILL_INVALID
    carried = {
        names.ORIGIN: letter.origin,
        names.KEY: event.key,
        names.TIMESTAMP: str(made_at),
        names.ATTEMPTS: str(letter.attempts),
        names.REDRIVES: str(letter.redrives + 1),
    }
    return carrying(record, origin.partition, carried)


def note(letter: Letter, outgoing: Outgoing, at: str) -> Note:
    """What is written beside the letter once its event is back in the source topic; `at` is ISO 8601 UTC."""
    said = {
        names.ORIGIN: letter.origin,
        names.REASON: letter.reason,
        names.KEY: outgoing.event_key,
        names.REDRIVES: str(letter.redrives + 1),
        names.REDRIVEN: at,
    }
    return Note(outgoing.key, names.encoded(said))


def _key(letter: Letter) -> str:
    return identity.of_conflict(letter.key, letter.origin) if letter.reason == CONFLICT else letter.key
