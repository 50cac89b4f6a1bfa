"""`POST /v1/dead-letters/park`: an operator's way out for events that this replica holds without an end."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from meter.pipeline.parking import Leaving, Selection
from meter.pipeline.place import place_of

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
        if faults:
            return faults
        origins = set()
        for text in fields.get("origins", ()):
            place = place_of(text)
            if place is None or place.topic != self.topic:
                return {"origins": f"Expected {self.topic}:partition:offset, got {text!r:.100}"}
            origins.add((place.partition, place.offset))
        wanted = Selection(
            frozenset(origins),
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
