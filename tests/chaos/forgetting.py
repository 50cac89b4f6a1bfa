"""What a provider's short memory led to: whom only meter recognised, and what was doubled; from rows and receipts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from meter.demo.reconciliation import Origin
from meter.pipeline import receipt
from meter.pipeline.event import Record

COPY_ELSEWHERE = "a copy in another partition, after the provider had forgotten the key"
SENT_AGAIN = "sent again after an outage, when the provider had forgotten what it had never answered for"
ONLY_METER = "copies after that, which only meter recognised"
UNEXPLAINED = "no cause is known"


class Row(NamedTuple):
    """One row at the provider."""

    key: str
    reference: str
    at: float
    """Unix seconds, as all times here."""


class Ended(NamedTuple):
    """One event in a receipt; `reference` is empty for a duplicate that meter itself recognised."""

    origin: Origin
    key: str
    reference: str
    at: float


def rows_of(usages: Iterable[Mapping[str, Any]]) -> list[Row]:
    """As the provider shows them."""
    return [
        Row(one["idempotencyKey"], one["reference"], datetime.fromisoformat(one["recordedAt"]).timestamp())
        for one in usages
    ]


def ended_in(records: Iterable[Record]) -> list[Ended]:
    """Every event in every receipt."""
    receipts = [read for record in records if (read := receipt.decode(record.value)) is not None]
    return [
        Ended(Origin(one.partition, offset), key, reference, one.at)
        for one in receipts
        for offset, key, reference in zip(one.offsets, one.keys, one.references, strict=True)
    ]


def measured(rows: Sequence[Row], ended: Sequence[Ended], memory_seconds: float) -> dict[str, float]:
    """Whether forgetting mattered at all: what the provider could not have recognised any more, and meter did."""
    first, last = _first(rows), max(row.at for row in rows)
    receipted: dict[str, float] = {}
    for one in ended:
        receipted[one.reference] = min(one.at, receipted.get(one.reference, one.at))
    waits = [receipted[row.reference] - row.at for row in rows if row.reference in receipted]
    late = [one for one in ended if not one.reference and one.at - first[one.key] > memory_seconds]
    return {
        "keys that the provider had forgotten before the end": sum(last - at > memory_seconds for at in first.values()),
        ONLY_METER: len(late),
        "longest time from a row to its receipt, in seconds": round(max(waits, default=0.0), 1),
    }


def doubles(
    rows: Sequence[Row],
    ended: Sequence[Ended],
    produced: Mapping[Origin, str],
    outages: Sequence[tuple[float, float]],
    memory_seconds: float,
) -> Counter[str]:
    """Rows beyond the first of their key, by what the evidence says about how they came about.

    `outages` are those that lasted longer than the provider remembers, from when until when.
    """
    accepted: defaultdict[str, set[int]] = defaultdict(set)
    for one in ended:
        accepted[one.reference].add(one.origin.partition)
    places: defaultdict[str, set[int]] = defaultdict(set)
    for origin, key in produced.items():
        places[key].add(origin.partition)
    of_key: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_key[row.key].append(row)
    pairs = [pair for same in of_key.values() for pair in pairwise(same)]
    return Counter(_cause(*pair, accepted, places, outages, memory_seconds) for pair in pairs)


def _cause(
    earlier: Row,
    later: Row,
    accepted: Mapping[str, set[int]],
    places: Mapping[str, set[int]],
    outages: Sequence[tuple[float, float]],
    memory_seconds: float,
) -> str:
    if later.at - earlier.at < memory_seconds:
        return UNEXPLAINED  # the provider still knew the key
    answered = accepted.get(earlier.reference)
    if not answered:
        was_one = any(earlier.at < until and since < later.at for since, until in outages)
        return SENT_AGAIN if was_one else UNEXPLAINED
    again_from = accepted.get(later.reference) or places.get(later.key, set())
    return COPY_ELSEWHERE if again_from - answered else UNEXPLAINED


def _first(rows: Iterable[Row]) -> dict[str, float]:
    first: dict[str, float] = {}
    for row in rows:
        first.setdefault(row.key, row.at)
    return first
