"""`POST /v1/dead-letters/park`: an operator's way out for events that this replica holds without an end."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from meter.pipeline.parking import Leaving, Selection

ROUTE = "POST /v1/dead-letters/park"
_LISTS = ("origins", "customers", "reasons")
_KNOWN = {*_LISTS, "allRefused"}


class Parked(NamedTuple):
    """What a wish has come to here."""

    parked: int
    waiting: int
    partitions: Sequence[int]
    """Those of this replica: what is held of others is with somebody else."""


class Parking(NamedTuple):
    """Whose events, and who parks them."""

    topic: str
    park: Callable[[Selection], Leaving]
    partitions: Callable[[], Iterable[int]]

    def asked(self, fields: Mapping[str, Any]) -> Parked | dict[str, str]:
        """What it has come to, or what is wrong with the request: field -> fault."""
        faults = _faults(fields)
        origins = {text: _place(text, self.topic) for text in fields.get("origins", ())} if not faults else {}
        unknown = [text for text, place in origins.items() if place is None]
        if unknown:
            faults["origins"] = f"Expected {self.topic}:partition:offset, got {unknown[0]!r:.100}"
        if faults:
            return faults
        wanted = Selection(
            frozenset(place for place in origins.values() if place is not None),
            frozenset(fields.get("customers", ())),
            frozenset(fields.get("reasons", ())),
            bool(fields.get("allRefused")),
        )
        return Parked(*self.park(wanted), sorted(self.partitions()))


def _faults(fields: Mapping[str, Any]) -> dict[str, str]:
    faults = dict.fromkeys(fields.keys() - _KNOWN, "Unknown field")
    for name in _LISTS:
        value = fields.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            faults[name] = "Expected a list of strings"
    if not isinstance(fields.get("allRefused", False), bool):
        faults["allRefused"] = "Expected boolean"
    if not any(fields.get(name) for name in _KNOWN):
        faults["origins"] = "Say what to park: origins, customers, reasons or allRefused"
    return faults


def _place(origin: str, topic: str) -> tuple[int, int] | None:
    name, *place = origin.rsplit(":", 2)
    numbers = [number for number in place if number.isascii() and number.isdecimal() and len(number) < 20]
    return (int(numbers[0]), int(numbers[1])) if name == topic and len(numbers) == 2 else None
