"""The demo's findings as the table at its end: every number with the words that say what it counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meter.demo.events import BILLED, COPY, Planned
from meter.demo.evidence import Evidence
from meter.demo.reconciliation import Expected
from meter.demo.screen import Section
from meter.demo.topics import PARTITIONS
from meter.demo.watch import Limits

_ENDS = ("accepted", "duplicate", "dead_lettered", "released", "held")


@dataclass(slots=True)
class Restart:
    """What is known of the process that was killed, and of the return of its successor."""

    at_seconds: float = 0.0
    held: int = 0
    billed: int = 0
    back_seconds: float = 0.0
    counters: Mapping[str, int] = field(default_factory=dict)
    """Of the killed process, as it last told them."""


@dataclass(slots=True)
class Times:
    """How long the parts took, in seconds."""

    start: float = 0.0
    produce: float = 0.0
    catch_up: float = 0.0
    check: float = 0.0


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that the table tells of."""

    planned: Sequence[Planned]
    expected: Expected
    evidence: Evidence
    restart: Restart
    limits: Limits
    free_units: int
    times: Times


def sections(shown: Shown) -> list[Section]:
    """The table, top to bottom in the order of an event's life."""
    return [
        ("produced", _produced(shown)),
        ("billed", _billed(shown.expected, shown.evidence)),
        ("dead", _dead_letters(shown.evidence)),
        ("receipts", _receipts(shown.evidence)),
        ("copies", _copies(shown.evidence, shown.restart)),
        ("restart", _restart(len(shown.planned), shown.evidence, shown.restart)),
        ("limits", _limits(shown.limits, shown.free_units)),
        ("counters", _counters(shown.evidence.found.counters)),
        ("seconds", _times(shown.times)),
    ]


def _produced(shown: Shown) -> list[tuple[str, str]]:
    copies = sum(record.kind == COPY for record in shown.planned)
    dialects = {record.kind for record in shown.planned if record.end == BILLED} - {COPY}
    faults = {record.kind for record in shown.planned if record.end != BILLED}
    seconds = shown.times.produce
    return [
        (f"{len(shown.planned):,}", f"records in {seconds:.1f} s, {PARTITIONS} partitions, keyed by customer"),
        (f"{len(shown.expected.rows):,}", f"unique valid events in {len(dialects)} dialects"),
        (f"{copies:,}", "copies of them: near, far, and across the restart"),
        (f"{len(shown.expected.dead_lettered):,}", f"invalid records of {len(faults)} kinds"),
    ]


def _billed(expected: Expected, evidence: Evidence) -> list[tuple[str, str]]:
    rows = list(evidence.found.rows)
    return [
        (f"{len(rows):,}", f"rows at the provider, {len({key for key, _ in rows}):,} different keys"),
        (f"{sum(billed.units for _, billed in rows):,}",
         f"units billed; produced: {sum(billed.units for billed in expected.rows.values()):,}"),
    ]  # fmt: skip


def _dead_letters(evidence: Evidence) -> list[tuple[str, str]]:
    total = len(evidence.found.dead_lettered)
    again = evidence.dead_letters_total - total
    facts = [(f"{total:,}", "dead letters" + (f", and {again:,} written again after the restart" if again else ""))]
    return facts + [(f"{count:,}", reason) for reason, count in evidence.reasons.most_common()]


def _receipts(evidence: Evidence) -> list[tuple[str, str]]:
    ends = Counter(end for _, end in evidence.receipted.ends.values())
    return [
        (f"{evidence.receipted.records_total:,}", "receipts, one for each batch and source partition"),
        (f"{ends['a']:,}", "source offsets listed as accepted"),
        (f"{ends['d']:,}", "source offsets listed as duplicate"),
    ]


def _copies(evidence: Evidence, restart: Restart) -> list[tuple[str, str]]:
    window = evidence.found.counters["duplicate"] + restart.counters.get("duplicate", 0)
    return [
        (f"{window:,}", "caught by meter's window, including redelivered events"),
        (f"{evidence.provider['duplicates']:,}", "caught by the provider: billed, but without a receipt yet"),
    ]


def _restart(produced_total: int, evidence: Evidence, restart: Restart) -> list[tuple[str, str]]:
    again = restart.counters.get("consumed", 0) + evidence.found.counters["consumed"] - produced_total
    return [
        (
            f"{restart.held:,}",
            f"events held at the SIGKILL after {restart.at_seconds:.1f} s, {restart.billed:,} billed",
        ),
        (f"{restart.back_seconds:.1f} s", "until the new process had its partitions"),
        (f"{max(0, again):,}", "events delivered again, at least"),
    ]


def _limits(limits: Limits, allowance_units: int) -> list[tuple[str, str]]:
    answers = sum(limits.sources.values())
    how = ", ".join(f"{count:,} {source}" for source, count in limits.sources.most_common())
    facts = [(f"{answers:,}", f"answers in {limits.median_milliseconds:.1f} ms (median): {how}")]
    if limits.unanswered:
        facts.append((f"{limits.unanswered:,}", "questions while meter was away"))
    if limits.first_no is None:
        return [*facts, ("-", f"no refusal, though more than the {allowance_units:,} free units are used")]
    meter = limits.first_no["meter"]
    left, pending = meter["providerRemaining"], meter["pendingUnits"]
    words = f'units free; first "no": {left} left at the provider, {pending} on the way'
    return [*facts, (f"{allowance_units:,}", words)]


def _counters(counters: Mapping[str, int]) -> list[tuple[str, str]]:
    ends = [f"{counters[end]:,} {end.replace('_', '-')}" for end in _ENDS]
    return [
        (f"{counters['consumed']:,}", "consumed by the surviving process"),
        ("=", f"{ends[0]} + {ends[1]} + {ends[2]}"),
        ("+", f"{ends[3]} + {ends[4]}"),
    ]


def _times(times: Times) -> list[tuple[str, str]]:
    parts = (
        (times.start, "until broker, sandbox and meter were ready"),
        (times.produce, "producing, including the kill"),
        (times.catch_up, "until everything was committed"),
        (times.check, "checking the books"),
    )
    return [(f"{seconds:.1f}", words) for seconds, words in parts]
