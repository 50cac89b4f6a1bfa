"""The dedupe window's memory: the last fingerprints in a ring, and hash tables that find them without a pause.

The ring is cut into regions with a table each. While one region fills, the table of the next is wiped, slot by slot;
nothing is ever moved, grown or freed. Memory is reserved at once, but taken only as ids first reach it.
"""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fingerprints = NDArray[np.uint64]
Digests = NDArray[np.uint32]
Indexes = NDArray[np.intp]

_LARGEST_REGION = 2**19
_REGIONS = 4
_SLOTS_PER_ID = 4  # a table is a quarter full at most: a search among many ends after few steps
_HALF = np.uint64(32)
_NONE: Indexes = np.empty(0, np.intp)


class Ring:
    """Fingerprints with a digest each by position: 0 for the first id ever added, and so on."""

    def __init__(self, capacity: int) -> None:
        """Keeps at least the last `capacity` ids; what lies further back may be there or not."""
        self.end = 0
        """The position that the next id will have."""
        self._region_ids = min(-(-capacity // _REGIONS), _LARGEST_REGION)
        self._region_slots = self._region_ids * _SLOTS_PER_ID
        # Two more than the capacity needs: one is being filled, the next is being wiped.
        self._regions = -(-capacity // self._region_ids) + 2
        self._size = self._regions * self._region_ids
        self._fingerprints: Fingerprints = _zeros(self._size, np.uint64)
        self._digests: Digests = _zeros(self._size, np.uint32)
        # Slots hold 1 + the place in the ring, 0 when empty; a taken slot leads on to the next one.
        self._table: NDArray[np.uint32] = _zeros(self._size * _SLOTS_PER_ID, np.uint32)

    @property
    def memory_bytes(self) -> int:
        """What is taken once every part of the ring has been used."""
        return self._fingerprints.nbytes + self._digests.nbytes + self._table.nbytes

    def find(self, fingerprints: Fingerprints, cutoff: int) -> tuple[Indexes, Digests]:
        """Which of `fingerprints` stand at or above the position `cutoff`, and their digests.

        All live regions are searched at once: what costs is the number of steps, hardly their width.
        """
        live = np.arange(cutoff // self._region_ids, -(-self.end // self._region_ids)) % self._regions
        asked = np.tile(np.arange(len(fingerprints)), len(live))
        slots = np.add.outer(live * self._region_slots, self._home(fingerprints)).ravel()
        found, places = [_NONE], [_NONE]
        while True:
            numbers = self._table.take(slots)
            taken = np.flatnonzero(numbers)
            if not len(taken):
                return np.concatenate(found), self._digests.take(np.concatenate(places))
            asked, slots = asked.take(taken), slots.take(taken)
            candidates = numbers.take(taken).astype(np.intp) - 1
            hit = self._fingerprints.take(candidates) == fingerprints.take(asked)
            if hit.any():
                # An id that has left may stand before the same id that came again.
                hit &= self._position(candidates) >= cutoff
                found.append(asked[hit])
                places.append(candidates[hit])
                asked, slots = asked[~hit], slots[~hit]
            slots = self._next(slots)

    def add(self, fingerprints: Fingerprints, digests: Digests) -> None:
        """Put in ids that are not there yet, each once."""
        while len(fingerprints):
            place = self.end % self._size
            room = self._region_ids - self.end % self._region_ids
            self._fill(place, fingerprints[:room], digests[:room])
            fingerprints, digests = fingerprints[room:], digests[room:]

    def _fill(self, place: int, fingerprints: Fingerprints, digests: Digests) -> None:
        """Add to one region, from `place` on."""
        first_slot = place // self._region_ids * self._region_slots
        self._wipe_ahead(place, len(fingerprints))
        self.end += len(fingerprints)
        self._fingerprints[place : place + len(fingerprints)] = fingerprints
        self._digests[place : place + len(fingerprints)] = digests
        numbers = np.arange(place + 1, place + 1 + len(fingerprints), dtype=np.uint32)
        slots = self._home(fingerprints) + first_slot
        while len(numbers):
            free = np.flatnonzero(self._table.take(slots) == 0)
            self._table[slots[free]] = numbers[free]
            # Two may have found the same slot free: the last one written has it.
            lost = np.flatnonzero(self._table.take(slots) != numbers)
            numbers, slots = numbers[lost], self._next(slots[lost])

    def _wipe_ahead(self, place: int, ids: int) -> None:
        """Empty as much of the next region's table as is filled of this one, which also takes its memory bit by bit."""
        start = (place + self._region_ids) % self._size * _SLOTS_PER_ID
        self._table[start : start + ids * _SLOTS_PER_ID] = 0

    def _position(self, places: Indexes) -> Indexes:
        """The last position that fell on each place."""
        last = self.end - 1
        return last - (last - places) % self._size

    def _home(self, fingerprints: Fingerprints) -> Indexes:
        """Where in a region's table the search begins: the upper half, scaled to its size."""
        return (((fingerprints >> _HALF) * np.uint64(self._region_slots)) >> _HALF).view(np.intp)

    def _next(self, slots: Indexes) -> Indexes:
        slots = slots + 1
        slots[slots % self._region_slots == 0] -= self._region_slots
        return slots


def _zeros(length: int, kind: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Zeros in small pages: with huge ones the first few ids would pay for all of the memory."""
    memory = mmap.mmap(-1, length * np.dtype(kind).itemsize)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=kind)
