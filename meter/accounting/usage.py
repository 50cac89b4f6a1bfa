"""What was accepted, once per key, and what the provider has: per customer and product, and key by key."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meter.accounting.offsets import Fingerprints, Mask, find, fingerprints

_64_BITS = 0xFFFFFFFFFFFFFFFF


class Usage(NamedTuple):
    """Who used what."""

    customer: str
    product: str


class Row(NamedTuple):
    """One row at the provider."""

    key: str
    customer: str
    product: str
    units: int


class Total(NamedTuple):
    """Events and units of one customer and product."""

    events: int = 0
    units: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """One customer and product for which the two sides disagree."""

    usage: Usage
    ours: Total
    provider: Total


@dataclass(frozen=True, slots=True)
class Comparison:
    """Our books beside the provider's."""

    ours: Total
    provider: Total
    """Rows of our keys."""
    missing: int
    """Accepted keys without a row."""
    repeated: int
    """Accepted keys with more than one row."""
    parked: int
    """Rows of events that ended in the dead letters and nowhere else."""
    others: int
    """Rows of events that are no business of this audit."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """The provider has each accepted event once, with our customer, product and units, and no parked one."""
        return not (self.missing or self.repeated or self.parked or self.differences)


class AcceptedUsage:
    """Accepted events; those of one key count once, however many records it has."""

    def __init__(self) -> None:
        self._numbers: dict[Usage, int] = {}
        self._usages: list[Usage] = []
        self._keys = array("Q")
        self._groups = array("Q")
        self._units = array("Q")
        self._parked = array("Q")
        self._elsewhere = array("Q")

    def add(self, keys: Sequence[str], usages: Sequence[Usage], units: Sequence[int], accepted: Mask) -> None:
        """Events, and which of them were accepted."""
        for index in np.flatnonzero(accepted).tolist():
            self._keys.append(hash(keys[index]) & _64_BITS)
            self._groups.append(self._number(usages[index]))
            self._units.append(units[index])

    def add_dead_letter(self, key: str) -> None:
        """A dead letter of an event with this key."""
        if key:
            self._parked.append(hash(key) & _64_BITS)

    def add_elsewhere(self, keys: Fingerprints) -> None:
        """These were accepted too, outside of what is looked at: a dead letter of one of them is no contradiction."""
        self._elsewhere.frombytes(keys.tobytes())

    def books(self) -> "Books":
        """All of it in order, to be compared."""
        keys = _array(self._keys)
        unique, first = np.unique(keys, return_index=True)
        groups = _array(self._groups)[first]
        units = _array(self._units)[first]
        accepted = np.concatenate([unique, _array(self._elsewhere)])
        parked = np.setdiff1d(_array(self._parked), accepted)
        return Books(self._usages, unique, groups.astype(np.int64), units.astype(np.int64), parked)

    def _number(self, usage: Usage) -> int:
        number = self._numbers.setdefault(usage, len(self._usages))
        if number == len(self._usages):
            self._usages.append(usage)
        return number


class Books:
    """Accepted keys in order, each with its customer, product and units; rows of the provider are ticked off."""

    def __init__(
        self,
        usages: Sequence[Usage],
        keys: Fingerprints,
        groups: NDArray[np.int64],
        units: NDArray[np.int64],
        parked: Fingerprints,
    ) -> None:
        self._usages = usages
        self._keys = keys
        self._parked_keys = parked
        self._groups = groups
        self._times = np.zeros(len(keys), np.uint32)
        events = np.bincount(groups, minlength=len(usages)).tolist()
        sums = np.bincount(groups, weights=units, minlength=len(usages)).tolist()
        self._ours = {usage: Total(events[at], int(sums[at])) for at, usage in enumerate(usages)}
        self._provider: dict[Usage, Total] = {}
        self._parked = 0
        self._others = 0

    def tick(self, rows: Sequence[Row]) -> None:
        """These rows are at the provider."""
        prints = fingerprints([row.key for row in rows])
        at, known = find(self._keys, prints)
        np.add.at(self._times, at[known], 1)
        for index in np.flatnonzero(known).tolist():
            row = rows[index]
            usage = Usage(row.customer, row.product)
            total = self._provider.get(usage, Total())
            self._provider[usage] = Total(total.events + 1, total.units + row.units)
        _, parked = find(self._parked_keys, prints[~known])
        self._parked += int(parked.sum())
        self._others += int((~parked).sum())

    def ours(self) -> Total:
        """Accepted events and their units."""
        return _sum(self._ours.values())

    def compare(self) -> Comparison:
        """After the last row."""
        differences = [
            Difference(usage, self._ours.get(usage, Total()), self._provider.get(usage, Total()))
            for usage in sorted({*self._ours, *self._provider})
            if self._ours.get(usage, Total()) != self._provider.get(usage, Total())
        ]
        missing, repeated = int((self._times == 0).sum()), int((self._times > 1).sum())
        totals = (self.ours(), _sum(self._provider.values()))
        return Comparison(*totals, missing, repeated, self._parked, self._others, differences)


def _array(values: "array[int]") -> Fingerprints:
    return np.frombuffer(values, np.uint64) if values else np.zeros(0, np.uint64)


def _sum(totals: Iterable[Total]) -> Total:
    every = list(totals)
    return Total(sum(total.events for total in every), sum(total.units for total in every))
