"""Dead letters by origin: what each says, how often it was redriven, and whether it is still to be looked after.

The dead-letter topic keeps a second kind of record: a note that a letter was redriven. It is written after the event
is back in the source topic, so whoever is killed in between sends the event again, under the same key, and no letter
is forgotten. Letters and notes carry the number of redrives before them: a letter is open while no note is younger.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from meter.pipeline import dialect, redriven
from meter.pipeline import headers as names
from meter.pipeline.headers import Headers
from meter.pipeline.place import Place
from meter.pipeline.rules import Unbillable


class Letter(NamedTuple):
    """One record of the dead-letter topic, without the event itself."""

    found: Place
    """Where it stands in the dead-letter topic."""
    origin: str
    died: str
    """The place of the record that ended here: its origin, unless it was redriven before."""
    reason: str
    detail: str
    key: str
    customer: str
    at: str
    """When it was given up, or when this was noted: ISO 8601 UTC."""
    attempts: int
    redrives: int
    is_unknown: bool
    is_cut: bool
    is_note: bool

    @property
    def at_seconds(self) -> float | None:
        """When it was given up, Unix; None when it does not say so."""
        try:
            return datetime.fromisoformat(self.at).timestamp()
        except ValueError:
            return None


def read_letter(found: Place, headers: Headers, value: bytes | None) -> Letter:
    """What a record says; anybody's record is a letter of its own place, without a reason."""
    said = {name: (content or b"").decode("utf-8", "backslashreplace") for name, content in headers}
    past = redriven.past(headers)
    origin = said.get(names.ORIGIN) or str(found)
    is_cut, is_note = names.TRUNCATED in said, names.REDRIVEN in said
    return Letter(
        found=found,
        origin=origin,
        died=said.get(names.RECORD) or origin,
        reason=said.get(names.REASON) or "(no reason given)",
        detail=said.get(names.DETAIL, ""),
        key=said.get(names.KEY, ""),
        customer="" if is_cut or is_note else customer_of(value, headers),
        at=said.get(names.REDRIVEN) or said.get(names.AT, ""),
        attempts=past.attempts,
        redrives=past.redrives,
        is_unknown=said.get(names.OUTCOME) == names.UNKNOWN_OUTCOME,
        is_cut=is_cut,
        is_note=is_note,
    )


def customer_of(value: bytes | None, headers: Headers) -> str:
    """Whom an event is about, as far as it can be read; "" when it cannot."""
    try:
        customer = dialect.read(value, headers).fields.get("customerRef")
    except Unbillable:
        return ""
    return customer if isinstance(customer, str) else ""


@dataclass(slots=True)
class Case:
    """Everything about one origin."""

    letter: Letter
    """The last one: of the most redrives, and the first of its copies."""
    copies: int = 1
    noted_redrives: int = 0

    @property
    def is_open(self) -> bool:
        """It was not redriven since it died."""
        return self.noted_redrives <= self.letter.redrives


class Cases:
    """Letters and notes by origin, in the order in which the origins appear."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        self._notes: dict[str, int] = {}

    def add(self, letter: Letter) -> Case | None:
        """One more record; answers the case if this is now its letter."""
        if letter.is_note:
            self._notes[letter.origin] = max(letter.redrives, self._notes.get(letter.origin, 0))
            return None
        case = self._cases.get(letter.origin)
        if case is None:
            self._cases[letter.origin] = case = Case(letter)
            return case
        case.copies += 1
        if letter.redrives <= case.letter.redrives:
            return None
        case.letter = letter
        return case

    def every(self) -> list[Case]:
        """All of them; notes without a letter are no case."""
        for origin, redrives in self._notes.items():
            if origin in self._cases:
                self._cases[origin].noted_redrives = redrives
        return list(self._cases.values())


@dataclass(frozen=True, slots=True)
class Filter:
    """Which cases are meant; what is not given lets everything through."""

    origins: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    """Whole reasons, or the part before the colon: `invalid` is every `invalid:...`."""
    customers: frozenset[str] = frozenset()
    since_seconds: float | None = None
    until_seconds: float | None = None
    open_only: bool = False

    def takes(self, case: Case) -> bool:
        """Whether this one is meant; a letter that does not say when it died is outside every span of time."""
        letter = case.letter
        if self.open_only and not case.is_open:
            return False
        if self.origins and letter.origin not in self.origins:
            return False
        if self.reasons and not {letter.reason, letter.reason.partition(":")[0]} & self.reasons:
            return False
        return (not self.customers or letter.customer in self.customers) and self._in_time(letter.at_seconds)

    def _in_time(self, at_seconds: float | None) -> bool:
        if self.since_seconds is None and self.until_seconds is None:
            return True
        if at_seconds is None:
            return False
        too_early = self.since_seconds is not None and at_seconds < self.since_seconds
        return not too_early and (self.until_seconds is None or at_seconds < self.until_seconds)


def chosen(cases: Iterable[Case], wanted: Filter) -> list[Case]:
    """Those that are meant."""
    return [case for case in cases if wanted.takes(case)]
