"""The books: what was produced against what was billed, dead-lettered and receipted, as sets of keys and of origins.

Pure: `reconcile` compares what must be with what was found, and an empty list of faults is the verdict.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

SHOWN_TOTAL: Final = 10
"""How many members of a failing set are named."""
LOST: Final = "valid events without a row at the provider"
BILLED_TWICE: Final = "events billed more than once"
NEVER_PRODUCED: Final = "rows at the provider that nobody produced"
WRONGLY_DEAD_LETTERED: Final = "dead letters of records that are not invalid"


class Origin(NamedTuple):
    """The place of one record in the topic."""

    partition: int
    offset: int


class Billed(NamedTuple):
    """What one row at the provider says, or must say."""

    customer: str
    units: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of everything that was produced."""

    rows: Mapping[str, Billed]
    """Key -> what its one row must say."""
    keys: Mapping[Origin, str]
    """Origin of every valid record, copies included -> its key."""
    dead_lettered: Mapping[Origin, str]
    """Origin of every invalid record -> the reason of its dead letter."""
    misread: Collection[str] = ()
    """Records that the decoder reads otherwise than they were meant, one sentence each."""

    @property
    def origins(self) -> frozenset[Origin]:
        """Every record of the topic."""
        return frozenset(self.keys) | frozenset(self.dead_lettered)


@dataclass(frozen=True, slots=True)
class Found:
    """What the outside world holds at the end."""

    rows: Iterable[tuple[str, Billed]]
    """Every row at the provider, with its key."""
    dead_lettered: Mapping[Origin, str]
    """Origin -> reason, one per origin though a dead letter may be written twice."""
    receipted: Mapping[Origin, str]
    """Origin -> key, of every end named in a receipt."""
    accepted_keys: frozenset[str]
    """Keys with an `accepted` end in a receipt."""
    lag: Mapping[int, int | None]
    """Per partition; None when the process does not know."""
    counters: Mapping[str, int]
    """`events` of the surviving process's status."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which the books do not balance."""

    title: str
    members: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shown = ", ".join(self.members[:SHOWN_TOTAL])
        more = f", and {len(self.members) - SHOWN_TOTAL:,} more" if len(self.members) > SHOWN_TOTAL else ""
        return f"{self.title} ({len(self.members):,}): {shown}{more}"


def reconcile(expected: Expected, found: Found) -> list[Fault]:
    """Everything that is wrong; empty when each event ended exactly once and nothing else happened."""
    faults = [
        Fault("records read otherwise than they were meant", list(expected.misread)),
        *_billing(expected, list(found.rows)),
        *_dead_letters(expected, found),
        *_receipts(expected, found),
        *_process(expected, found),
    ]
    return [fault for fault in faults if fault.members]


def unbalance(counters: Mapping[str, int]) -> int:
    """consumed - (accepted + duplicate + dead_lettered + released + held): zero at every moment."""
    ends = ("accepted", "duplicate", "dead_lettered", "released", "held")
    return counters["consumed"] - sum(counters[end] for end in ends)


def _billing(expected: Expected, rows: list[tuple[str, Billed]]) -> Iterable[Fault]:
    times = Counter(key for key, _ in rows)
    yield _fault(LOST, expected.rows.keys() - times.keys())
    yield _fault(BILLED_TWICE, {key for key, count in times.items() if count > 1})
    yield _fault(NEVER_PRODUCED, times.keys() - expected.rows.keys())
    other = {key for key, billed in rows if key in expected.rows and billed != expected.rows[key]}
    yield _fault("rows with another customer or other units than the event", other)


def _dead_letters(expected: Expected, found: Found) -> Iterable[Fault]:
    yield _fault("invalid records without a dead letter", expected.dead_lettered.keys() - found.dead_lettered.keys())
    yield _fault(WRONGLY_DEAD_LETTERED, found.dead_lettered.keys() - expected.dead_lettered.keys())
    other = {
        f"{_shown(origin)} is {reason}, not {expected.dead_lettered[origin]}"
        for origin, reason in found.dead_lettered.items()
        if origin in expected.dead_lettered and reason != expected.dead_lettered[origin]
    }
    yield _fault("dead letters with another reason", other)


def _receipts(expected: Expected, found: Found) -> Iterable[Fault]:
    ended = found.receipted.keys() | found.dead_lettered.keys()
    yield _fault("records without an end in receipts or dead letters", expected.origins - ended)
    yield _fault("receipts of records that nobody produced", found.receipted.keys() - expected.origins)
    other = {o for o, key in found.receipted.items() if expected.keys.get(o, key) != key}
    yield _fault("receipts with another key than the record", other)
    yield _fault("billed events that no receipt calls accepted", expected.rows.keys() - found.accepted_keys)
    yield _fault("receipts that call accepted what nobody produced", found.accepted_keys - expected.rows.keys())
    yield _fault("records with a receipt and a dead letter", found.receipted.keys() & found.dead_lettered.keys())


def _process(expected: Expected, found: Found) -> Iterable[Fault]:
    partitions = {origin.partition for origin in expected.origins} | found.lag.keys()
    behind = {f"partition {p}: {found.lag.get(p, 'unknown')}" for p in partitions if found.lag.get(p) != 0}
    yield _fault("partitions whose lag is not 0", behind)
    missing = unbalance(found.counters)
    yield Fault("counters that do not add up", [f"{missing:+,} in {dict(found.counters)}"] if missing else [])


def _fault(title: str, members: Iterable[Hashable]) -> Fault:
    return Fault(title, [_shown(member) for member in sorted(members)])  # type: ignore[type-var]  # all of one kind


def _shown(member: Hashable) -> str:
    return f"{member.partition}:{member.offset}" if isinstance(member, Origin) else str(member)
