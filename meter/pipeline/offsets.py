"""What has no end yet in one partition, and therefore how far it may be committed.

The commit position is the lowest offset without an end; when everything has ended, the next offset to handle.
It never goes back. Offsets that ended above it are remembered until it passes them, so they count as memory.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice


class Progress:
    """One partition during one assignment."""

    def __init__(self, partition: int, epoch: int, position: int, receipts_offset: int, steady_seconds: float) -> None:
        self.partition = partition
        self.epoch = epoch
        self.position = position
        """The next offset to handle: records below it have been handed over in this assignment."""
        self.held_bytes = 0
        self._order: deque[int] = deque()
        self._ended: set[int] = set()
        self._moved_at = steady_seconds  # when ended offsets last became committable, or began to wait for that
        self._tail_offset: int | None = receipts_offset  # None once the receipts from there on have been read
        self._next_receipt = receipts_offset
        self._receipts: dict[int, int] = {}  # receipts offset -> the highest offset that it names
        self._unacknowledged: dict[int, tuple[int, int]] = {}  # number -> (it stands here or later, as above)

    def begin(self, offsets: Sequence[int]) -> None:
        """These ascending offsets at or above `position` are now held."""
        self._order.extend(offsets)
        self.position = offsets[-1] + 1

    def advance(self, position: int) -> None:
        """The consumer stands here, past markers and gaps in which there was no record to handle."""
        self.position = max(self.position, position)

    def end(self, offsets: Sequence[int], steady_seconds: float) -> None:
        """These held offsets have ended, each for the first time."""
        ended, order = self._ended, self._order
        nothing_waited, before = not ended, len(order)
        if nothing_waited and list(islice(order, len(offsets))) == offsets:  # as most do: in order, none behind another
            for _ in offsets:
                order.popleft()
        else:
            ended.update(offsets)
            while order and order[0] in ended:
                ended.discard(order.popleft())
        if nothing_waited or len(order) != before:
            self._moved_at = steady_seconds

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
        return steady_seconds - self._moved_at if self._ended else 0.0

    # Where a later owner finds the receipts above the commit

    def receipt_started(self, number: int, highest_offset: int) -> None:
        """A receipt that names offsets up to `highest_offset` is written now, perhaps not for the first time."""
        self._unacknowledged.setdefault(number, (self._next_receipt, highest_offset))

    def receipt_written(self, number: int, receipts_offset: int, highest_offset: int) -> None:
        """That receipt is acknowledged and stands at `receipts_offset`."""
        self._unacknowledged.pop(number, None)
        self.receipt_read(receipts_offset, highest_offset)

    def receipt_read(self, receipts_offset: int, highest_offset: int) -> None:
        """A receipt that names offsets up to `highest_offset` stands at `receipts_offset`, or later.

        Several may be told at one place: where the broker does not say where they stand.
        """
        self._receipts[receipts_offset] = max(highest_offset, self._receipts.get(receipts_offset, highest_offset))
        self._next_receipt = max(self._next_receipt, receipts_offset + 1)

    def tail_read(self) -> None:
        """All receipts written before this assignment have been read."""
        self._tail_offset = None

    def receipts_offset(self) -> int:
        """From here on stand all receipts that name an offset at or above the commit position."""
        if self._tail_offset is not None:
            return self._tail_offset
        position = self.commit_position()
        self._receipts = {at: highest for at, highest in self._receipts.items() if highest >= position}
        # also those that are never acknowledged: they were split, or given up
        self._unacknowledged = {number: place for number, place in self._unacknowledged.items() if place[1] >= position}
        waiting = [at for at, _ in self._unacknowledged.values()]
        return min([*self._receipts, *waiting], default=self._next_receipt)
