"""The window of accepted ids: an id found here was billed already, so the event is a duplicate (or a conflict)."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from meter.pipeline.ring import Fingerprints, Ring

_TIME_STEPS = 1024


class _Mark(NamedTuple):
    """Ids at or above `position` were remembered at or after `wall_seconds`."""

    wall_seconds: float
    position: int


class Window:
    """The last `max_ids` accepted ids of the last `window_seconds`, with the digest of what was billed under each.

    Ids leave in the order they were remembered: by count at once and exactly, by age with `expire`, no sooner than
    `window_seconds` and at most a thousandth of it later. Times do not run backwards: an id remembered with an older
    time than the one before it counts as old as that one.

    An id is kept as 64 bits of Python's keyed hash. At 2,000,000 ids one lookup in 10^13 meets the bits of another
    id; then the digests differ, and the event is a visible `conflict`; only if those 32 bits agree too is it taken
    for a duplicate.

    Memory: 36 bytes an id when full, of which 24 are there from the start. Neither filling nor forgetting moves
    anything, so no call takes long; callers pass at most some thousand ids at once.
    """

    def __init__(self, max_ids: int, window_seconds: float) -> None:
        self._max_ids = max_ids
        self._window_seconds = window_seconds
        self._step_seconds = window_seconds / _TIME_STEPS
        self._ring = Ring(max_ids)
        self._marks: deque[_Mark] = deque()
        self._cutoff = 0  # what lies below this position has left

    def __len__(self) -> int:
        return self._ring.end - self._cutoff

    def __contains__(self, key: str) -> bool:
        return bool(self.lookup((key,)))

    @property
    def is_full(self) -> bool:
        """An id more, and the oldest leaves, however young it is."""
        return len(self) >= self._max_ids

    def reach_seconds(self, wall_seconds: float) -> float | None:
        """How far back the ids go, a thousandth of the window too far at most; None when there are none."""
        if not len(self):
            return None
        began = max((mark for mark in self._marks if mark.position <= self._cutoff), key=lambda mark: mark.position)
        return max(0.0, wall_seconds - began.wall_seconds)

    def lookup(self, keys: Sequence[str]) -> dict[int, int]:
        """Index -> digest for those of `keys` that are remembered, as of the last `expire`."""
        return self._find(_fingerprints(keys)) if keys and len(self) else {}

    def remember(self, keys: Sequence[str], digests: Sequence[int], wall_seconds: float) -> None:
        """Take in accepted ids; of an id that is remembered already the first digest and time stay."""
        fingerprints, all_digests = _fingerprints(keys), np.array(digests, np.uint32)
        known = self._find(fingerprints)
        if known or len(set(keys)) != len(keys):
            first = {key: index for index, key in reversed(tuple(enumerate(keys))) if index not in known}
            new = sorted(first.values())
            fingerprints, all_digests = fingerprints[new], all_digests[new]
        self._mark(wall_seconds)
        self._ring.add(fingerprints, all_digests)
        self._cutoff = max(self._cutoff, self._ring.end - self._max_ids)

    def expire(self, wall_seconds: float) -> None:
        """Forget what has become too old."""
        oldest_seconds = wall_seconds - self._window_seconds - self._step_seconds
        while self._marks and self._marks[0].wall_seconds < oldest_seconds:
            self._marks.popleft()
            self._cutoff = max(self._cutoff, self._marks[0].position if self._marks else self._ring.end)

    def _find(self, fingerprints: Fingerprints) -> dict[int, int]:
        found, digests = self._ring.find(fingerprints, self._cutoff)
        return dict(zip(found.tolist(), digests.tolist(), strict=True))

    def _mark(self, wall_seconds: float) -> None:
        if not self._marks or wall_seconds >= self._marks[-1].wall_seconds + self._step_seconds:
            self._marks.append(_Mark(wall_seconds, self._ring.end))


def _fingerprints(keys: Sequence[str]) -> Fingerprints:
    return np.fromiter(map(hash, keys), np.int64, len(keys)).view(np.uint64)
