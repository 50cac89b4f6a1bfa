"""What became of one event, as it is told: its places, the end of each, and what that comes to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from meter.accounting.letters import Letter
from meter.pipeline.place import Place
from meter.pipeline.receipt import ACCEPTED, REPEAT
from meter.pipeline.settlement import CONFLICT
from meter.pipeline.timestamps import format_utc


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
            "at": format_utc(self.at_seconds),
            "reference": self.reference,
            "notDebited": self.undebited,
        }


class Content(NamedTuple):
    """What a record says is to be billed."""

    customer: str
    product: str
    units: int

    def __str__(self) -> str:
        units = "1 unit" if self.units == 1 else f"{self.units:,} units"
        return f"{units} of {self.product or '(no product)'} for {self.customer}"


class Redriven(NamedTuple):
    """A note that a dead letter went back to the source topic."""

    at: str
    key: str
    """Under which the event is billed since then."""


@dataclass(slots=True)
class Facts:
    """Everything about one record of the event."""

    place: Place
    is_kept: bool = False
    """The source topic still has it."""
    recorded_milliseconds: int = 0
    content: Content | None = None
    """None when it is not kept, or says nothing that could be billed."""
    is_committed: bool | None = None
    """Below the group's commit; None when nothing was ever committed there."""
    receipts: list[Receipted] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    redriven: list[Redriven] = field(default_factory=list)

    @property
    def is_conflict(self) -> bool:
        """It ended because another event was billed under its key."""
        return self.end == "dead_lettered" and any(letter.reason == CONFLICT for letter in self.letters)

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
            "recordedAt": format_utc(self.recorded_milliseconds / 1000) if self.recorded_milliseconds else None,
            "committed": self.is_committed,
            "content": self.content._asdict() if self.content is not None else None,
            "receipts": [receipt.as_json() for receipt in self.receipts],
            "deadLetters": [
                {"place": str(one.found), "reason": one.reason, "detail": one.detail, "at": one.at,
                 "attempts": one.attempts, "redrives": one.redrives, "outcomeUnknown": one.is_unknown}
                for one in self.letters
            ],
            "redriven": [one._asdict() for one in self.redriven],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Explanation:
    """One event, whatever it was asked by."""

    asked: str
    key: str
    records: Sequence[Facts]
    """In the order of their places; more than one are copies of each other."""

    @property
    def accepted(self) -> Receipted | None:
        """The first receipt that calls it accepted; none does a conflict, whatever was billed under its key."""
        if self._asked_for is not None and self._asked_for.is_conflict:
            return None
        found = [one for facts in self.records for one in facts.receipts if one.end == ACCEPTED]
        return min(found, key=lambda one: one.at_seconds, default=None)

    @property
    def content(self) -> Content | None:
        """What was billed, or is to be; None when no record is left to read it from."""
        asked = self._asked_for
        if asked is not None and asked.is_conflict:
            return asked.content
        first = sorted(self.records, key=lambda facts: (facts.end != "accepted", facts.is_conflict))
        return next((facts.content for facts in first if facts.content is not None), None)

    @property
    def _asked_for(self) -> Facts | None:
        return next((facts for facts in self.records if str(facts.place) == self.asked), None)

    def verdict(self) -> str:
        """One line."""
        asked = self._asked_for
        if asked is not None and asked.is_conflict:
            return f"in the dead letters: conflict: a different event has its key{_redriven(asked)}"
        accepted, ends = self.accepted, [facts.end for facts in self.records]
        if accepted is not None:
            return f"billed: the provider's reference is {accepted.reference or '(none)'}{_debit(accepted)}"
        if "duplicate" in ends:
            return "billed earlier: a receipt lists it as a duplicate; the receipt of the original has expired"
        if "not_yet_ended" in ends:
            return "not yet ended: it is at or above the committed offset"
        if "dead_lettered" in ends:
            last, letter = [(facts, one) for facts in self.records for one in facts.letters][-1]
            unknown = "; an earlier try may have been inserted" if letter.is_unknown else ""
            return f"in the dead letters: {letter.reason}{unknown}{_redriven(last)}"
        return (
            "unknown: it is below the committed position, and neither receipts nor dead letters that are kept name it"
        )

    def as_json(self) -> dict[str, object]:
        """Everything."""
        accepted, content = self.accepted, self.content
        return {
            "asked": self.asked,
            "key": self.key,
            "customer": content.customer if content is not None else "",
            "product": content.product if content is not None else "",
            "units": content.units if content is not None else None,
            "verdict": self.verdict(),
            "reference": accepted.reference if accepted is not None else None,
            "records": [facts.as_json() for facts in self.records],
        }

    def lines(self) -> Iterator[str]:
        """For a person; the verdict first."""
        yield self.verdict()
        yield f"key       {self.key or '(could not be read)'}"
        if self.content is not None:
            yield f"event     {self.content}"
        for number, facts in enumerate(self.records):
            name = "record" if number == 0 else "copy"
            yield from _described("conflict" if facts.is_conflict else name, facts, self.content)


def _debit(accepted: Receipted) -> str:
    if accepted.undebited == REPEAT:
        return "; it already had the event, and its first answer was lost"
    return f", but nothing was debited: {accepted.undebited}" if accepted.undebited else ""


def _redriven(facts: Facts) -> str:
    """That it went back, if it did; under which key, if that is another one."""
    if not facts.redriven:
        return ""
    last = facts.redriven[-1]
    is_other = all(letter.key != last.key for letter in facts.letters)
    return f"; redriven at {last.at}" + (f" as a separate event, {last.key}" if is_other else "")


_SHOWN_ENDS: Final = {"dead_lettered": "dead-lettered", "not_yet_ended": "not yet ended"}


def _described(name: str, facts: Facts, told: Content | None) -> Iterator[str]:
    kept = (
        f"made {format_utc(facts.recorded_milliseconds / 1000)}" if facts.is_kept else "no longer in the source topic"
    )
    yield f"{name:<9} {facts.place}: {_SHOWN_ENDS.get(facts.end, facts.end)}, {kept}"
    for one in facts.receipts:
        end = "accepted" if one.end == ACCEPTED else "duplicate"
        reference = f", reference {one.reference}" if one.reference else ""
        undebited = f", not debited: {one.undebited}" if one.undebited not in ("", REPEAT) else ""
        at = format_utc(one.at_seconds)
        yield f"          receipt {one.found}: {end} in batch {one.batch} at {at}{reference}{undebited}"
    for letter in facts.letters:
        unknown = ", outcome unknown" if letter.is_unknown else ""
        yield f"          dead letter {letter.found}: {letter.reason} at {letter.at}{unknown}: {letter.detail}"
    if facts.content is not None and facts.content != told:
        yield f"          says {facts.content}"
    if facts.redriven:
        yield f"          {_redriven(facts)[2:]}"
