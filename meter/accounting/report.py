"""The findings of an audit, as values, as words for a person, and as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from meter.accounting.offsets import Ends, Span
from meter.accounting.usage import Comparison, Total
from meter.pipeline.receipt import REPEAT

SHOWN = 20
"""Spans and differences that are listed; JSON has all of them."""


class Verdict(StrEnum):
    """What an audit comes to. Only `OK` is good: what nobody can check is not."""

    OK = "ok"
    NOT_VERIFIABLE = "not_verifiable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PartitionFindings:
    """One partition, between the first offset looked at and the committed position."""

    partition: int
    first: int
    end: int
    """Where looking ended: the committed position, or the end of the time asked for."""
    open: int
    """Records at or above it: not yet ended."""
    ends: Ends
    gaps: Sequence[Span]
    overtaken: Sequence[Span]
    """Records that a receipt names and a dead letter as well: the receipt counts."""

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        spans = {"gaps": self.gaps, "overtakenDeadLetters": self.overtaken}
        return {
            "partition": self.partition,
            "first": self.first,
            "end": self.end,
            "notYetEnded": self.open,
            **self.ends._asdict(),
            **{name: [list(span) for span in found] for name, found in spans.items()},
        }


@dataclass(frozen=True, slots=True)
class Findings:
    """What an audit has found."""

    topic: str
    group: str
    partitions: Sequence[PartitionFindings]
    undebited: Mapping[str, int]
    """Accepted events whose receipt says that nothing was debited then: by the provider's reason."""
    accepted: Total
    """Accepted events and their units, once per key."""
    comparison: Comparison | None
    """None: the provider cannot be asked, or was not to be."""
    not_verifiable: str = ""
    """Why it cannot be asked; empty when it was asked, or was not to be."""
    foreign_receipts: int = 0
    """Receipts of other groups, providers or environments: they end nothing here."""
    skipped: int = 0
    """Records below the place where the group was told to start (`latest`)."""
    expired: Mapping[str, int] = field(default_factory=dict)
    """Receipts or dead letters that their topic no longer keeps: ends that only they named cannot be seen."""

    @property
    def ends(self) -> Ends:
        """Of all partitions."""
        return Ends(*(sum(column) for column in zip(*(found.ends for found in self.partitions), strict=True)))

    @property
    def gaps(self) -> int:
        """Records without an end."""
        return sum(span.size for found in self.partitions for span in found.gaps)

    @property
    def overtaken(self) -> int:
        """Records whose receipt counts, and not their dead letter."""
        return sum(span.size for found in self.partitions for span in found.overtaken)

    @property
    def repeats(self) -> int:
        """Accepted events that the provider had already: on debits its first answer counts, if it was not lost."""
        return self.undebited.get(REPEAT, 0)

    @property
    def not_debited(self) -> Mapping[str, int]:
        """Accepted, and surely nothing debited: by the provider's reason."""
        return {reason: count for reason, count in self.undebited.items() if reason != REPEAT}

    @property
    def open(self) -> int:
        """Records that have not ended yet."""
        return sum(found.open for found in self.partitions)

    @property
    def every_offset_has_one_end(self) -> bool:
        """What Kafka alone shows."""
        return not self.gaps

    @property
    def verdict(self) -> Verdict:
        """`OK` when every offset has one end and the provider, unless it was not to be asked, agrees."""
        if self.gaps or not (self.comparison is None or self.comparison.agrees):
            return Verdict.FAILED
        return Verdict.NOT_VERIFIABLE if self.not_verifiable else Verdict.OK

    def summary(self) -> str:
        """What the verdict rests on, one line."""
        ends = self.ends
        parts = f"{ends.accepted:,} accepted, {ends.duplicate:,} duplicate, {ends.dead_lettered:,} dead-lettered"
        if self.every_offset_has_one_end:
            offsets = f"every one of {ends.records:,} offsets has exactly one end ({parts})"
        else:
            offsets = f"{self.gaps:,} of {ends.records:,} offsets have no end ({parts})"
        return f"{offsets}; {self._provider()}"

    def _provider(self) -> str:
        comparison = self.comparison
        if comparison is None:
            why = self.not_verifiable
            return f"provider: not verifiable ({why})" if why else "Kafka alone: the provider was not asked"
        if comparison.agrees:
            return f"the provider has the same {comparison.ours.events:,} events and {comparison.ours.units:,} units"
        return (
            f"the provider disagrees: {comparison.missing:,} missing, {comparison.repeated:,} billed more than once, "
            f"{comparison.parked:,} billed although dead-lettered, {len(comparison.differences):,} "
            "pairs of customer and product"
        )

    def _provider_as_json(self) -> dict[str, object]:
        if self.comparison is not None:
            return {"verdict": "agrees" if self.comparison.agrees else "disagrees", **_plain(self.comparison)}
        if self.not_verifiable:
            return {"verdict": "not verifiable", "reason": self.not_verifiable}
        return {"verdict": "not asked"}

    def as_json(self) -> dict[str, object]:
        """Everything; `provider.verdict` is `agrees`, `disagrees`, `not verifiable` or `not asked`."""
        return {
            "topic": self.topic,
            "group": self.group,
            "verdict": self.verdict,
            "good": self.verdict is Verdict.OK,
            "everyOffsetHasOneEnd": self.every_offset_has_one_end,
            **self.ends._asdict(),
            "gaps": self.gaps,
            "overtakenDeadLetters": self.overtaken,
            "notYetEnded": self.open,
            "skippedAtStart": self.skipped,
            "foreignReceipts": self.foreign_receipts,
            "expired": dict(self.expired),
            "notDebited": dict(self.not_debited),
            "repeats": self.repeats,
            "acceptedOncePerKey": self.accepted._asdict(),
            "provider": self._provider_as_json(),
            "partitions": [found.as_json() for found in self.partitions],
        }

    def lines(self) -> Iterator[str]:
        """For a person, without the verdict."""
        for found in self.partitions:
            ends = found.ends
            yield (
                f"partition {found.partition:>3}  offsets {found.first:,} to {found.end:,}: "
                f"{ends.accepted:,} accepted, {ends.duplicate:,} duplicate, {ends.dead_lettered:,} dead-lettered; "
                f"{found.open:,} not yet ended"
            )
        yield from self._spans()
        for topic, records in self.expired.items() if self.gaps else ():
            yield f"no longer kept in {topic}: {records:,} records; ends recorded only there cannot be seen"
        for reason, count in Counter(self.not_debited).most_common():
            yield f"accepted but not debited: {count:,} {reason}"
        if self.repeats:
            yield f"accepted as repeats that the provider already had: {self.repeats:,}"
        if self.skipped:
            yield f"before the group's start (kafka.start_from = latest): {self.skipped:,}"
        if self.foreign_receipts:
            yield f"receipts of another group, provider or environment, not counted: {self.foreign_receipts:,}"
        yield from self._differences()

    def _spans(self) -> Iterator[str]:
        for words, spans in (("no end", "gaps"), ("a dead letter too, but the receipt counts", "overtaken")):
            found = [(one.partition, span) for one in self.partitions for span in getattr(one, spans)]
            for partition, span in found[:SHOWN]:
                yield f"{words}: {self.topic}:{partition}:{span.first}" + (
                    f" to {span.last} ({span.size:,})" if span.size > 1 else ""
                )
            if len(found) > SHOWN:
                yield f"{words}: and {len(found) - SHOWN:,} more spans (--json lists all)"

    def _differences(self) -> Iterator[str]:
        comparison = self.comparison
        if comparison is None:
            return
        for one in comparison.differences[:SHOWN]:
            ours, theirs = one.ours, one.provider
            yield (
                f"{one.usage.customer} {one.usage.product or '(no product)'}: accepted {ours.events:,} events, "
                f"{ours.units:,} units; the provider has {theirs.events:,} and {theirs.units:,}"
            )
        if len(comparison.differences) > SHOWN:
            yield f"and {len(comparison.differences) - SHOWN:,} more pairs of customer and product (--json lists all)"
        if comparison.others:
            yield f"rows at the provider of events outside this audit: {comparison.others:,}"


def _plain(comparison: Comparison) -> dict[str, object]:
    return {
        "accepted": comparison.ours._asdict(),
        "billed": comparison.provider._asdict(),
        **{name: getattr(comparison, name) for name in ("missing", "repeated", "parked", "others")},
        "differences": [
            {**one.usage._asdict(), "accepted": one.ours._asdict(), "billed": one.provider._asdict()}
            for one in comparison.differences
        ],
    }
