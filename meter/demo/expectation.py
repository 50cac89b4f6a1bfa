"""What must become of the acknowledged records: one row for each event, one dead letter for each broken record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from meter.demo.events import BILLED, Planned
from meter.demo.reconciliation import Billed, Expected, Origin


@dataclass(frozen=True, slots=True)
class Produced:
    """A record as it stands in the topic; it looks like what a consumer would be handed."""

    planned: Planned
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970."""

    @property
    def key(self) -> bytes:
        return self.planned.key

    @property
    def value(self) -> bytes | None:
        return self.planned.value

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        return self.planned.headers


def expect(produced: Iterable[Produced], key_of: Callable[[Produced], str | None]) -> Expected:
    """What must be found; `key_of` is the decoder's reading of a record: its identity, None when invalid.

    That a record is valid, of whom it tells and how many units, is known from its plan, not from the decoder.
    """
    rows: dict[str, Billed] = {}
    keys: dict[Origin, str] = {}
    dead_lettered: dict[Origin, str] = {}
    events: dict[str, int] = {}  # key -> number of the event it stands for
    misread: list[str] = []
    for record in produced:
        plan, origin = record.planned, Origin(record.partition, record.offset)
        if plan.end != BILLED:
            dead_lettered[origin] = plan.end
            continue
        key = key_of(record)
        if key is None:
            misread.append(f"{origin.partition}:{origin.offset} ({plan.kind}) is valid")
            continue
        if events.setdefault(key, plan.event) != plan.event:
            misread.append(f"{origin.partition}:{origin.offset} ({plan.kind}) shares its key with another event")
        keys[origin] = key
        rows[key] = Billed(plan.customer, plan.units)
    if len(set(events.values())) != len(events):
        misread.append("copies of one event have different keys")
    return Expected(rows, keys, dead_lettered, misread)
