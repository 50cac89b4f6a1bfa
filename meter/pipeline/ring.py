"""The dedupe window's memory: the last ids in a ring, and a hash table of buckets that finds them.

A bucket is the width of one look into memory, and an id stands in its own bucket or, should that be full, in a small
dictionary beside the table: nothing is ever moved or grown, and an id that is overwritten in the ring leaves its bucket
at once. Memory is reserved at once, but taken only as ids first reach it.
"""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fingerprints = NDArray[np.uint64]
Digests = NDArray[np.uint32]
Indexes = NDArray[np.intp]

_BUCKET_SLOTS = 16
_SLOTS_PER_ID = 4  # a bucket is a quarter full on average: of two million ids about one finds its bucket full
_HALF = np.uint64(32)
_TAG_BITS = np.uint64(0xFFFF)
_LONGEST_STEP = 4096  # ids looked at in one go


class Ring:
    """Fingerprints with a digest each by position: 0 for the first id ever added, and so on."""

    def __init__(self, capacity: int) -> None:
        """Keeps the last `capacity` ids."""
        self.end = 0
        """The position that the next id will have."""
        self._size = capacity
        self._buckets = -(-capacity * _SLOTS_PER_ID // _BUCKET_SLOTS)
        self._fingerprints: Fingerprints = _zeros(capacity, np.uint64)
        self._digests: Digests = _zeros(capacity, np.uint32)
        # A few bits of the id in each taken slot, never 0, tell nearly all others from it without a look at the ring.
        self._tags: NDArray[np.uint16] = _touched(self._buckets, np.uint16)
        self._places: NDArray[np.uint32] = _touched(self._buckets, np.uint32)
        self._overflow: dict[int, int] = {}  # place -> fingerprint, of those whose bucket was full

    @property
    def memory_bytes(self) -> int:
        """What is taken once every part of the ring has been used."""
        return self._fingerprints.nbytes + self._digests.nbytes + self._tags.nbytes + self._places.nbytes

    def find(self, fingerprints: Fingerprints, cutoff: int) -> tuple[Indexes, Digests]:
        """Which of `fingerprints` stand at or above the position `cutoff`, and their digests."""
        buckets = _bucket(fingerprints, self._buckets)
        rows = self._tags.take(buckets, axis=0)
        asked, columns = np.divmod(np.flatnonzero(rows == _tag(fingerprints)[:, np.newaxis]), _BUCKET_SLOTS)
        slots = buckets.take(asked) * _BUCKET_SLOTS + columns
        places = self._places.take(slots).astype(np.intp)
        if self._overflow:
            asked, places = self._with_overflow(fingerprints, asked, places)
        # An id that has left may stand beside the same id that came again.
        hit = (self._fingerprints.take(places) == fingerprints.take(asked)) & (self._position(places) >= cutoff)
        return asked[hit], self._digests.take(places[hit])

    def add(self, fingerprints: Fingerprints, digests: Digests) -> None:
        """Put in ids that are not there yet, each once."""
        while len(fingerprints):
            place = self.end % self._size
            room = min(self._size - place, _LONGEST_STEP)
            self._put(place, fingerprints[:room], digests[:room])
            fingerprints, digests = fingerprints[room:], digests[room:]

    def _put(self, place: int, fingerprints: Fingerprints, digests: Digests) -> None:
        """Add side by side, from `place` on."""
        ids = len(fingerprints)
        places = np.arange(place, place + ids, dtype=np.uint32)
        if self.end >= self._size:
            self._remove(places)
        self.end += ids
        self._fingerprints[place : place + ids] = fingerprints
        self._digests[place : place + ids] = digests
        while len(places):
            left = self._put_each(fingerprints, places)
            fingerprints, places = fingerprints[left], places[left]

    def _put_each(self, fingerprints: Fingerprints, places: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Give each a free slot of its bucket; answers which are still without, because another one got it."""
        buckets = _bucket(fingerprints, self._buckets)
        slots = buckets * _BUCKET_SLOTS + (self._tags.take(buckets, axis=0) == 0).argmax(axis=1)
        is_full = self._tags.take(slots) != 0
        if is_full.any():
            full = zip(places[is_full].tolist(), fingerprints[is_full].tolist(), strict=True)
            self._overflow.update(full)
            slots, fingerprints, places = slots[~is_full], fingerprints[~is_full], places[~is_full]
        np.put(self._places, slots, places)
        np.put(self._tags, slots, _tag(fingerprints))
        left = np.zeros(len(is_full), np.bool_)
        left[~is_full] = self._places.take(slots) != places  # the last one written has it
        return left

    def _remove(self, places: NDArray[np.uint32]) -> None:
        """What stands at these places of the ring leaves the table."""
        buckets = _bucket(self._fingerprints.take(places), self._buckets)
        mine = self._places.take(buckets, axis=0) == places[:, np.newaxis]
        taken = self._tags.take(buckets, axis=0) != 0
        which, columns = np.divmod(np.flatnonzero(mine & taken), _BUCKET_SLOTS)
        np.put(self._tags, buckets.take(which) * _BUCKET_SLOTS + columns, 0)
        if self._overflow:
            for place in places.tolist():
                self._overflow.pop(place, None)

    def _with_overflow(self, fingerprints: Fingerprints, asked: Indexes, places: Indexes) -> tuple[Indexes, Indexes]:
        """And those whose bucket was full."""
        for place, fingerprint in self._overflow.items():
            more = np.flatnonzero(fingerprints == np.uint64(fingerprint))
            asked = np.concatenate((asked, more))
            places = np.concatenate((places, np.full(len(more), place, np.intp)))
        return asked, places

    def _position(self, places: Indexes) -> Indexes:
        """The last position that fell on each place."""
        last = self.end - 1
        return last - (last - places) % self._size


def _bucket(fingerprints: Fingerprints, buckets: int) -> Indexes:
    """The upper half, scaled to their number."""
    return (((fingerprints >> _HALF) * np.uint64(buckets)) >> _HALF).view(np.intp)


def _tag(fingerprints: Fingerprints) -> NDArray[np.uint16]:
    """The lowest bits, never 0."""
    return np.maximum((fingerprints & _TAG_BITS).astype(np.uint16), 1)


def _zeros(length: int, kind: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Zeros that take memory as they are first written, in small pages: with huge ones a single step pays for much."""
    memory = mmap.mmap(-1, length * np.dtype(kind).itemsize)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=kind)


def _touched(buckets: int, kind: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Empty buckets whose memory is there from the start: ids fall everywhere in it, the first thousand as well."""
    memory = mmap.mmap(-1, buckets * _BUCKET_SLOTS * np.dtype(kind).itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    table = np.frombuffer(memory, dtype=kind).reshape(buckets, _BUCKET_SLOTS)
    table.fill(0)
    return table
