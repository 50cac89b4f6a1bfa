"""The partitions that are ours now: how far each is, what it holds, and which take no new records."""

from collections.abc import Mapping, Sequence, Set

from meter.pipeline.event import InvalidEvent, UsageEvent
from meter.pipeline.offsets import Progress
from meter.pipeline.recognised import Recognised
from meter.pipeline.start import Choice, CommitNote, Committed, Start, encode_note

Decoded = UsageEvent | InvalidEvent

BLOCKED_AFTER_SECONDS = 30.0
"""One event without an end may keep ended ones behind it uncommitted this long before its partition is paused."""
REFUSED_ALLOWANCE = 2.0
"""How far a partition may exceed its share while nothing but refused events is held."""
ENDED_ALLOWANCE = 10.0
"""How many shares of ended offsets it may remember behind them then: each is a number, the event itself is gone."""
RESUME_SHARE = 0.75
"""A partition that was full takes records again when it holds this much of its share."""


class Assignment:
    """Progress of each partition. An epoch names one partition in one assignment, for the life of the process."""

    def __init__(self, max_held_events: int, max_held_bytes: int) -> None:
        self.epochs: set[int] = set()
        """Epochs of the partitions that are ours."""
        self._max_held_events = max_held_events
        self._max_held_bytes = max_held_bytes
        self._next_epoch = 1
        self._progress: dict[int, Progress] = {}
        self._choice: Choice | None = None
        self._unfilled: set[int] = set()
        self._full: set[int] = set()
        self._recognised: dict[int, Recognised] = {}
        self._window_covers: dict[int, int] = {}

    def begin(self, starts: Mapping[int, Start], choice: Choice, steady_seconds: float) -> None:
        """These partitions are ours, from these positions; their windows are still to be filled."""
        self.end()
        self._choice = choice
        for partition, start in starts.items():
            epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
            self.epochs.add(epoch)
            self._progress[partition] = Progress(partition, epoch, start.offset, start.receipts_offset, steady_seconds)
        self._unfilled = set(starts)

    def end(self) -> int:
        """Nothing is ours any more; answers how many events had no end."""
        held = self.held()
        self.epochs.clear()
        for state in (self._progress, self._recognised, self._unfilled, self._full):
            state.clear()
        return held

    def live_epochs(self) -> frozenset[int]:
        """The epochs as of now."""
        return frozenset(self.epochs)

    def partitions(self) -> list[int]:
        """What is ours."""
        return list(self._progress)

    def progress(self, partition: int) -> Progress | None:
        """How far this partition is; None when it is not ours."""
        return self._progress.get(partition)

    # The window's tail

    def fill_from(self, partition: int, tail_offset: int) -> int:
        """Where in the receipts to start reading, if by age and number of ids `tail_offset` would do.

        Only the gap, where the window has kept what it read before; but always what concerns uncommitted offsets.
        """
        covered = max(self._window_covers.get(partition, 0), tail_offset)  # what is older is not missed
        self._window_covers[partition] = covered
        return min(covered, self._progress[partition].receipts_offset())

    def receipt_read(self, partition: int, receipts_offset: int) -> None:
        """The receipts of this partition were read up to and with this offset."""
        self._window_covers[partition] = max(self._window_covers.get(partition, 0), receipts_offset + 1)

    def recognise(self, partition: int, receipts_offset: int, offsets: Sequence[int], keys: Sequence[str]) -> None:
        """A receipt names these offsets with these keys: delivered again, they have already ended.

        Until the commit has passed them, the next owner has to read this receipt as well.
        """
        progress = self._progress.get(partition)
        if progress is not None and max(offsets, default=-1) >= progress.position:
            progress.receipt_read(receipts_offset, max(offsets))
            self._recognised.setdefault(partition, Recognised()).add(offsets, keys, progress.position)

    def take_recognised(self, partition: int, events: Sequence[Decoded]) -> list[Decoded]:
        """Those of the events that a receipt names. The key must agree: a topic that was recreated reuses offsets."""
        known = self._recognised.get(partition)
        if not known:
            return []
        return [event for event in events if known.take(event.offset) == event.key]

    def window_filled(self, partition: int) -> None:
        """The partition's tail was read to its end."""
        self._unfilled.discard(partition)
        progress = self._progress.get(partition)
        if progress is not None:
            progress.tail_read()

    def unfilled(self) -> Set[int]:
        """Partitions whose window is not complete."""
        return self._unfilled

    # Ends and commits

    def ended(self, partition: int, events: Sequence[Decoded], steady_seconds: float) -> int:
        """These events of one partition have ended; answers how many came in the assignment that is ours now."""
        progress = self._progress.get(partition)
        if progress is None:
            return 0
        mine = [event for event in events if event.epoch == progress.epoch]
        progress.held_bytes -= held_bytes(mine)
        progress.end([event.offset for event in mine], steady_seconds)
        return len(mine)

    def receipt_started(self, partition: int, number: int, offsets: Sequence[int]) -> None:
        """Our own receipt naming these offsets is on its way."""
        progress = self._progress.get(partition)
        if progress is not None:
            progress.receipt_started(number, max(offsets))

    def receipt_written(self, partition: int, number: int, receipts_offset: int, offsets: Sequence[int]) -> None:
        """It is acknowledged, at `receipts_offset`. Whatever stands between it and what is covered is somebody else's.

        A process that slept writes the receipts of its last batches among those of who has its partitions now.
        """
        progress = self._progress.get(partition)
        if progress is not None:
            progress.receipt_written(number, receipts_offset, max(offsets))
            if receipts_offset == self._window_covers.get(partition):
                self.receipt_read(partition, receipts_offset)

    def held(self) -> int:
        """Events without an end."""
        return sum(progress.held() for progress in self._progress.values())

    def positions(self) -> dict[int, int]:
        """What may be committed."""
        return {partition: progress.commit_position() for partition, progress in self._progress.items()}

    def commits(self, wall_seconds: float, *, given_back: bool = False) -> dict[int, Committed]:
        """What to commit now, with the note that a later owner needs."""
        return {
            partition: Committed(
                progress.commit_position(),
                encode_note(CommitNote(self._choice, progress.receipts_offset(), given_back, wall_seconds)),
            )
            for partition, progress in self._progress.items()
        }

    # Bounds

    def paused(self, steady_seconds: float, *, all_of_them: bool, only_refused_held: bool) -> Set[int]:
        """Partitions that take no records now.

        Each partition has its share of the bounds and cannot use up another's: one that is blocked for ever by
        an event without an end does not stop the others. When all that is held was refused by the provider, only
        the acceptance of a new event can tell whose fault that is: then a little more is let in, chunk by chunk
        until there is something new, however much has ended behind the refused events.
        """
        if all_of_them:
            return frozenset(self._progress)
        for partition, progress in self._progress.items():
            fullness = self._fullness(progress, only_refused_held=only_refused_held)
            if fullness >= 1.0:
                self._full.add(partition)
            elif fullness <= RESUME_SHARE or only_refused_held:  # a pause begun at the smaller share must not stay
                self._full.discard(partition)
        blocked: Set[int] = frozenset() if only_refused_held else self.blocked(steady_seconds)
        return self._unfilled | self._full | blocked

    def full(self) -> Set[int]:
        """Partitions that hold as much as they may, as of the last `paused`."""
        return self._full

    def blocked(self, steady_seconds: float) -> Set[int]:
        """Partitions in which one event without an end has kept others uncommitted for too long."""
        return {
            partition
            for partition, progress in self._progress.items()
            if progress.blocked_seconds(steady_seconds) >= BLOCKED_AFTER_SECONDS
        }

    def _fullness(self, progress: Progress, *, only_refused_held: bool) -> float:
        share, load = max(1, len(self._progress)), float(progress.load())
        size = progress.held_bytes / self._max_held_bytes
        if only_refused_held:
            held, size = progress.held(), size / REFUSED_ALLOWANCE
            load = max(held / REFUSED_ALLOWANCE, (load - held) / ENDED_ALLOWANCE)
        return share * max(load / self._max_held_events, size)


def held_bytes(events: Sequence[Decoded]) -> int:
    """What they keep in memory, roughly."""
    return sum([event.held_bytes for event in events])
