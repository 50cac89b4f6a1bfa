"""The broker as far as the machine can tell: a log, commits of one group, receipts, dead letters."""

from dataclasses import dataclass, field

from meter.pipeline.receipt import ACCEPTED, Receipt
from meter.pipeline.settlement import DeadLetterWrite
from meter.pipeline.start import Committed, decode_note


@dataclass(frozen=True)
class Rec:
    """One record of the source topic."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Broker:
    """What is durable. A commit is checked when it arrives: it may only pass what has an end (invariant 1)."""

    logs: dict[int, list[Rec]]
    commits: dict[int, Committed] = field(default_factory=dict)
    receipts: dict[int, list[Receipt]] = field(default_factory=dict)
    ends: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    accepted_keys: set[str] = field(default_factory=set)
    dead: dict[tuple[int, int], str] = field(default_factory=dict)
    dead_keys: set[str] = field(default_factory=set)
    strays: set[tuple[int, int]] = field(default_factory=set)

    def write_receipt(self, receipt: Receipt, *, is_member: bool) -> int:
        """Appends; the receipt's offset. Invariant 3: a duplicate's key was accepted before or beside it."""
        for offset, key, end in zip(receipt.offsets, receipt.keys, receipt.ends, strict=True):
            if end == ACCEPTED:
                self.accepted_keys.add(key)
            self.ends.setdefault((receipt.partition, offset), set()).add(end)
        for key, end in zip(receipt.keys, receipt.ends, strict=True):
            assert end == ACCEPTED or key in self.accepted_keys, f"{key} is no duplicate: nobody accepted it"
        log = self.receipts.setdefault(receipt.partition, [])
        log.append(receipt)
        if not is_member:  # whoever owns the partition may have read the tail already
            self.strays.add((receipt.partition, len(log) - 1))
        return len(log) - 1

    def write_foreign_receipt(self, receipt: Receipt) -> None:
        """Appends one of another group, which says nothing about our offsets and keys."""
        log = self.receipts.setdefault(receipt.partition, [])
        self.strays.add((receipt.partition, len(log)))
        log.append(receipt)

    def write_dead_letter(self, write: DeadLetterWrite) -> None:
        """Appends."""
        self.bury((write.event.partition, write.event.record.offset), write.event.key, write.reason)

    def bury(self, at: tuple[int, int], key: str, reason: str) -> None:
        """The event at this partition and offset is among the dead letters."""
        self.dead[at] = reason
        self.dead_keys.add(key)
        self.ends.setdefault(at, set()).add("dead")

    def commit(self, commits: dict[int, Committed]) -> None:
        """Moves the group's positions."""
        for partition, commit in commits.items():
            before = self.commits[partition].offset if partition in self.commits else 0
            assert commit.offset >= before, f"partition {partition} rewound from {before} to {commit.offset}"
            open_below = [o for o in range(before, commit.offset) if (partition, o) not in self.ends]
            assert not open_below, f"commit {commit.offset} of partition {partition} passes {open_below}"
            self._check_note(partition, commit)
            self.commits[partition] = commit

    def _check_note(self, partition: int, commit: Committed) -> None:
        """Whoever reads receipts from the note on finds all that name an offset at or above the commit."""
        log, note = self.receipts.get(partition, []), decode_note(commit.metadata)
        above = [
            receipt
            for at, receipt in enumerate(log[: note.receipts_offset])
            if max(receipt.offsets) >= commit.offset and (partition, at) not in self.strays
        ]
        if above:
            found = {offset for receipt in log[note.receipts_offset :] for offset in receipt.offsets}
            overlooked = {o for receipt in above for o in receipt.offsets if o >= commit.offset} - found
            assert not overlooked, f"receipts of {overlooked}, above the commit, would not be read again"
