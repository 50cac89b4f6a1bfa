"""What has no end yet in one partition, and therefore how far it may be committed.

The commit position is the lowest offset without an end; when everything has ended, the next offset to handle.
It never goes back. Offsets that ended above it are remembered until it passes them, so they count as memory.
"""

from collections import deque
from collections.abc import Iterable, Sequence


class Progress:
    """One partition during one assignment."""

    def __init__(self, partition: int, epoch: int, position: int, receipts_offset: int, steady_seconds: float) -> None:
        self.partition = partition
        self.epoch = epoch
        self.position = position
        """The next offset to handle: records below it have been handed over in this assignment."""
        self.moved_at = steady_seconds
        """When the commit position last moved (or there was nothing to move)."""
        self.held_bytes = 0
        self._order: deque[int] = deque()
        self._ended: set[int] = set()
        self._receipts_offset = receipts_offset
        self._receipts: list[tuple[int, int]] = []

    def begin(self, offsets: Sequence[int], steady_seconds: float) -> None:
        """These ascending offsets at or above `position` are now held."""
        if not self._order:
            self.moved_at = steady_seconds
        self._order.extend(offsets)
        self.position = offsets[-1] + 1

    def advance(self, position: int) -> None:
        """The consumer stands here, past markers and gaps in which there was no record to handle."""
        self.position = max(self.position, position)

    def end(self, offsets: Iterable[int], steady_seconds: float) -> None:
        """These held offsets have ended, each for the first time."""
        ended, order = self._ended, self._order
        ended.update(offsets)
        before = len(order)
        while order and order[0] in ended:
            ended.discard(order.popleft())
        if len(order) != before:
            self.moved_at = steady_seconds

    def commit_position(self) -> int:
        """Every record below it has ended."""
        return self._order[0] if self._order else self.position

    def held(self) -> int:
        """How many offsets have no end."""
        return len(self._order) - len(self._ended)

    def load(self) -> int:
        """How many offsets are remembered here: held, and ended but not yet committable."""
        return len(self._order)

    def blocked_seconds(self, steady_seconds: float) -> float:
        """How long one offset without an end has been keeping ended ones behind it from being committed."""
        return steady_seconds - self.moved_at if self._ended else 0.0

    def receipt_written(self, receipts_offset: int, highest_offset: int) -> None:
        """A receipt that names offsets up to `highest_offset` stands at `receipts_offset`."""
        self._receipts.append((receipts_offset, highest_offset))

    def receipts_offset(self) -> int:
        """From here on stand all receipts that name an offset at or above the commit position."""
        position = self.commit_position()
        kept = [mark for mark in self._receipts if mark[1] >= position]
        if len(kept) < len(self._receipts):
            newest = max(mark[0] for mark in self._receipts)
            self._receipts = kept
            self._receipts_offset = max(self._receipts_offset, min((mark[0] for mark in kept), default=newest + 1))
        return self._receipts_offset
