"""A piece of the dedupe window: fingerprints in the order they came, and a hash table that finds them."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fingerprints = NDArray[np.uint64]
Digests = NDArray[np.uint32]
Indexes = NDArray[np.intp]

_SLOTS_PER_ID = 4
_HALF = np.uint64(32)
_NONE: Indexes = np.empty(0, np.intp)


class Segment:
    """At most `capacity` ids, the first of them at position `first` of the window; they leave together.

    The table is a quarter full at most, so that a search among many ends after few steps: its slots hold 1 + the
    place of a fingerprint, 0 when empty, and a taken slot leads to the next one.
    """

    def __init__(self, first: int, capacity: int) -> None:
        self.first = first
        self.capacity = capacity
        self.used = 0
        self._fingerprints: Fingerprints = _zeroed(capacity, np.uint64)
        self._digests: Digests = _zeroed(capacity, np.uint32)
        self._table: NDArray[np.uint32] = _zeroed(capacity * _SLOTS_PER_ID, np.uint32)

    @property
    def end(self) -> int:
        """The position in the window after the last id."""
        return self.first + self.used

    @property
    def memory_bytes(self) -> int:
        """What the segment takes once every page of it has been touched."""
        return self._fingerprints.nbytes + self._digests.nbytes + self._table.nbytes

    def find(self, fingerprints: Fingerprints, cutoff: int) -> tuple[Indexes, Digests]:
        """Which of `fingerprints` are here at or above the position `cutoff`, and their digests."""
        asked, places = self._places(fingerprints)
        alive = places >= cutoff - self.first
        return asked[alive], self._digests[places[alive]]

    def add(self, fingerprints: Fingerprints, digests: Digests) -> None:
        """Put in what is not here yet, each once; no more than there is room for."""
        end = self.used + len(fingerprints)
        self._fingerprints[self.used : end] = fingerprints
        self._digests[self.used : end] = digests
        numbers = np.arange(self.used + 1, end + 1, dtype=np.uint32)
        self.used = end
        slots = self._home(fingerprints)
        while len(numbers):
            free = np.flatnonzero(self._table.take(slots) == 0)
            self._table[slots[free]] = numbers[free]
            # Two may have found the same slot free: the last one written has it.
            lost = np.flatnonzero(self._table.take(slots) != numbers)
            numbers, slots = numbers[lost], self._next(slots[lost])

    def _places(self, fingerprints: Fingerprints) -> tuple[Indexes, Indexes]:
        """Index and place of those of `fingerprints` that are here."""
        asked = np.arange(len(fingerprints))
        slots = self._home(fingerprints)
        found, places = [_NONE], [_NONE]
        while True:
            numbers = self._table.take(slots)
            taken = np.flatnonzero(numbers)
            if not len(taken):
                return np.concatenate(found), np.concatenate(places)
            asked, slots = asked.take(taken), slots.take(taken)
            candidates = numbers.take(taken).astype(np.intp) - 1
            other = self._fingerprints.take(candidates) != fingerprints.take(asked)
            if not other.all():
                found.append(asked[~other])
                places.append(candidates[~other])
                asked, slots = asked[other], slots[other]
            slots = self._next(slots)

    def _home(self, fingerprints: Fingerprints) -> Indexes:
        """The slot where the search begins: the upper bits, scaled to the size of the table."""
        return (((fingerprints >> _HALF) * np.uint64(len(self._table))) >> _HALF).view(np.intp)

    def _next(self, slots: Indexes) -> Indexes:
        slots = slots + 1
        slots[slots == len(self._table)] = 0
        return slots


def _zeroed(length: int, kind: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Zeros in small pages: with huge ones the first few ids would pay for all of the memory at once."""
    memory = mmap.mmap(-1, length * np.dtype(kind).itemsize)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=kind)
