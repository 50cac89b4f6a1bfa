"""The ends of one partition's offsets: which records have one, which have none, and which dead letters are overtaken.

Some twenty bytes an offset and no object: a million offsets are nothing to worry about.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meter.pipeline.receipt import ACCEPTED, Receipt

_RECORD, _ACCEPTED, _DUPLICATE, _DEAD = 1, 2, 4, 8
_RECEIPTED = _ACCEPTED | _DUPLICATE
_NO_REASON = 0
_MOST_REASONS = 255

Fingerprints = NDArray[np.uint64]
Mask = NDArray[np.bool_]


def fingerprints(keys: Sequence[str]) -> Fingerprints:
    """64 bits of each key, good within this process."""
    return np.fromiter(map(hash, keys), np.int64, len(keys)).view(np.uint64)


def find(keys: Fingerprints, wanted: Fingerprints) -> tuple[NDArray[np.int64], Mask]:
    """Where each wanted one would be, and whether it is there; `keys` are in order."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


class Span(NamedTuple):
    """Offsets from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


class Ends(NamedTuple):
    """How many records ended how; each is counted once, accepted over duplicate, a receipt over a dead letter."""

    records: int = 0
    accepted: int = 0
    duplicate: int = 0
    dead_lettered: int = 0


class OffsetLedger:
    """Offsets `first` up to but not including `end` of one partition. Tell it receipts first, in their order."""

    def __init__(self, first: int, end: int) -> None:
        self.first = first
        self.end = max(first, end)
        size = self.end - self.first
        self._marks = np.zeros(size, np.uint8)
        self._keys = np.zeros(size, np.uint64)
        self._undebited = np.zeros(size, np.uint8)
        self._reasons = [""]

    def receipt(self, receipt: Receipt) -> Fingerprints:
        """What this receipt says; where two name an offset with different keys, the later one is of our topic.

        Answers the keys that it calls accepted at other offsets than ours.
        """
        offsets = np.asarray(receipt.offsets, np.int64) - self.first
        inside = (offsets >= 0) & (offsets < len(self._marks))
        letters, every = np.frombuffer(receipt.ends.encode(), np.uint8), fingerprints(receipt.keys)
        at, keys = offsets[inside], every[inside]
        other = at[(self._marks[at] & _RECEIPTED != 0) & (self._keys[at] != keys)]
        self._marks[other] &= ~np.uint8(_RECEIPTED)
        self._undebited[other] = _NO_REASON
        self._keys[at] = keys
        is_accepted = letters == ord(ACCEPTED)
        self._marks[at] |= np.where(is_accepted[inside], _ACCEPTED, _DUPLICATE).astype(np.uint8)
        self._note_undebited(receipt.undebited, offsets)
        elsewhere: Fingerprints = every[is_accepted & ~inside]
        return elsewhere

    def dead_letter(self, offset: int) -> None:
        """A dead letter tells of this record."""
        if self.first <= offset < self.end:
            self._marks[offset - self.first] |= _DEAD

    def records(self, offsets: Sequence[int], keys: Sequence[str]) -> Mask:
        """These records are in the topic; which of them were accepted.

        A receipt with another key than the record's is of an older topic with the same name: it ends nothing here.
        """
        at = np.asarray(offsets, np.int64) - self.first
        receipted = self._marks[at] & _RECEIPTED != 0
        foreign = at[receipted & (self._keys[at] != fingerprints(keys))]
        self._marks[foreign] &= ~np.uint8(_RECEIPTED)
        self._undebited[foreign] = _NO_REASON
        self._marks[at] |= _RECORD
        accepted: Mask = self._marks[at] & _ACCEPTED != 0
        return accepted

    def ends(self) -> Ends:
        """How the records have ended."""
        marks = self._marks[self._marks & _RECORD != 0]
        accepted = marks & _ACCEPTED != 0
        duplicate = ~accepted & (marks & _DUPLICATE != 0)
        dead = ~accepted & ~duplicate & (marks & _DEAD != 0)
        return Ends(len(marks), int(accepted.sum()), int(duplicate.sum()), int(dead.sum()))

    def gaps(self) -> list[Span]:
        """Records without an end."""
        return self._spans(self._marks == _RECORD)

    def overtaken(self) -> list[Span]:
        """Records with a dead letter and a receipt: delivered again before the commit, they ended as that says."""
        return self._spans((self._marks & _RECORD != 0) & (self._marks & _DEAD != 0) & (self._marks & _RECEIPTED != 0))

    def undebited(self) -> Counter[str]:
        """Accepted records for which nothing was debited, by the provider's reason."""
        accepted = self._marks & (_RECORD | _ACCEPTED) == _RECORD | _ACCEPTED
        counts = np.bincount(self._undebited[accepted], minlength=len(self._reasons)).tolist()
        return Counter({reason: counts[code] for code, reason in enumerate(self._reasons) if code and counts[code]})

    def _note_undebited(self, undebited: Mapping[str, str], offsets: NDArray[np.int64]) -> None:
        for index, reason in undebited.items():
            offset = int(offsets[int(index)])
            if 0 <= offset < len(self._undebited):
                self._undebited[offset] = self._code(reason)

    def _code(self, reason: str) -> int:
        if reason not in self._reasons:
            if len(self._reasons) == _MOST_REASONS:
                reason = self._reasons[-1]
            else:
                self._reasons.append(reason)
        return self._reasons.index(reason)

    def _spans(self, mask: Mask) -> list[Span]:
        """Neighbours together: one record without an end is rarely alone."""
        found = np.flatnonzero(mask)
        if not len(found):
            return []
        runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1)
        return [Span(int(run[0]) + self.first, int(run[-1]) + self.first) for run in runs]
