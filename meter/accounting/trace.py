"""What became of one event, as it is told: its places, the end of each, and what that comes to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from meter.accounting.letters import Letter, Place
from meter.pipeline.receipt import ACCEPTED


@dataclass(frozen=True, slots=True)
class Receipted:
    """One end that a receipt names."""

    found: Place
    """Where the receipt stands."""
    key: str
    end: str
    batch: str
    at_seconds: float
    reference: str
    undebited: str
    """Why the provider debited nothing; "" when it did, or did not say."""

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "receipt": str(self.found),
            "end": "accepted" if self.end == ACCEPTED else "duplicate",
            "batch": self.batch,
            "at": _iso(self.at_seconds),
            "reference": self.reference,
            "notDebited": self.undebited,
        }


@dataclass(slots=True)
class Facts:
    """Everything about one record of the event."""

    place: Place
    is_kept: bool = False
    """The source topic still has it."""
    recorded_milliseconds: int = 0
    is_committed: bool | None = None
    """Below the group's commit; None when nothing was ever committed there."""
    receipts: list[Receipted] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    @property
    def end(self) -> str:
        """Accepted over duplicate, a receipt over a dead letter."""
        ends = {receipt.end for receipt in self.receipts}
        if ends:
            return "accepted" if ACCEPTED in ends else "duplicate"
        if self.letters:
            return "dead_lettered"
        return "unknown" if self.is_committed else "not_yet_ended"

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "place": str(self.place),
            "end": self.end,
            "kept": self.is_kept,
            "recordedAt": _iso(self.recorded_milliseconds / 1000) if self.recorded_milliseconds else None,
            "committed": self.is_committed,
            "receipts": [receipt.as_json() for receipt in self.receipts],
            "deadLetters": [
                {"place": str(one.found), "reason": one.reason, "detail": one.detail, "at": one.at,
                 "attempts": one.attempts, "redrives": one.redrives, "outcomeUnknown": one.is_unknown}
                for one in self.letters
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Explanation:
    """One event, whatever it was asked by."""

    asked: str
    key: str
    customer: str
    product: str
    units: int | None
    """None when no record is left to read it from."""
    records: Sequence[Facts]
    """In the order of their places; more than one are copies of each other."""

    @property
    def accepted(self) -> Receipted | None:
        """The first receipt that calls it accepted."""
        found = [one for facts in self.records for one in facts.receipts if one.end == ACCEPTED]
        return min(found, key=lambda one: one.at_seconds, default=None)

    def verdict(self) -> str:
        """One line."""
        accepted, ends = self.accepted, [facts.end for facts in self.records]
        if accepted is not None:
            debit = f", but nothing was debited: {accepted.undebited}" if accepted.undebited else ""
            return f"billed: the provider's reference is {accepted.reference or '(none)'}{debit}"
        if "duplicate" in ends:
            return "billed earlier: a receipt calls it a duplicate; the receipt of the original is no longer kept"
        if "not_yet_ended" in ends:
            return "not yet ended: it stands at or above the committed position"
        if "dead_lettered" in ends:
            letter = next(one for facts in self.records for one in facts.letters)
            unknown = "; an earlier try may have been inserted" if letter.is_unknown else ""
            return f"in the dead letters: {letter.reason}{unknown}"
        return (
            "unknown: it is below the committed position, and neither receipts nor dead letters that are kept name it"
        )

    def as_json(self) -> dict[str, object]:
        """Everything."""
        accepted = self.accepted
        return {
            "asked": self.asked,
            "key": self.key,
            "customer": self.customer,
            "product": self.product,
            "units": self.units,
            "verdict": self.verdict(),
            "reference": accepted.reference if accepted is not None else None,
            "records": [facts.as_json() for facts in self.records],
        }

    def lines(self) -> Iterator[str]:
        """For a person; the verdict first."""
        yield self.verdict()
        yield f"key       {self.key or '(could not be read)'}"
        if self.units is not None:
            yield f"event     {self.units:,} units of {self.product or '(no product)'} for {self.customer}"
        for number, facts in enumerate(self.records):
            yield from _described("record" if number == 0 else "copy", facts)


def _described(name: str, facts: Facts) -> Iterator[str]:
    kept = f"made {_iso(facts.recorded_milliseconds / 1000)}" if facts.is_kept else "no longer in the source topic"
    yield f"{name:<9} {facts.place}: {facts.end.replace('_', ' ')}, {kept}"
    for one in facts.receipts:
        end = "accepted" if one.end == ACCEPTED else "duplicate"
        reference = f", reference {one.reference}" if one.reference else ""
        undebited = f", not debited: {one.undebited}" if one.undebited else ""
        at = _iso(one.at_seconds)
        yield f"          receipt {one.found}: {end} in batch {one.batch} at {at}{reference}{undebited}"
    for letter in facts.letters:
        unknown = ", outcome unknown" if letter.is_unknown else ""
        yield f"          dead letter {letter.found}: {letter.reason} at {letter.at}{unknown}: {letter.detail}"


def _iso(wall_seconds: float) -> str:
    return datetime.fromtimestamp(wall_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
