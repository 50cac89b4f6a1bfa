"""Where a partition begins: at its commit, or at the choice that was made once for the whole group.

A commit's metadata carries that choice, its time and the number of partitions then. So a partition that nobody
had committed yet when a process died still follows the choice as of the time when it was made, and a partition
that was added later starts at its beginning.

A log may also end below its commit: it is another one under the same name, of which nothing was handled, or its end was
lost (an unclean leader election), and all that it still holds was handled. Both are told apart by time: what is older
than the commit was handled with it.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

StartFrom = Literal["refuse", "earliest", "latest"]

CLOCKS_SECONDS = 3600.0
"""How far the clocks that stamp records may be off."""


class Committed(NamedTuple):
    """A committed position of the group: the next offset to handle, and what was written beside it."""

    offset: int
    metadata: str


class Bounds(NamedTuple):
    """What the log of a partition holds: the first offset kept, and the offset after the last."""

    beginning: int
    end: int


class Choice(msgspec.Struct, frozen=True):
    """Where partitions below `partitions` start that have no commit, as of `at` (Unix seconds)."""

    start_from: Literal["earliest", "latest"]
    at: float
    partitions: int


class CommitNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What meter writes beside each committed offset."""

    choice: Choice | None = None
    receipts_offset: int = 0
    """Every receipt that concerns an offset at or above the commit stands here or later in the receipts topic."""
    given_back: bool = False
    """The owner had ended or released everything, and sends nothing more. The next owner's first commit clears it."""
    at: float = 0.0
    """When it was written, Unix seconds; 0 when that is not known."""


class Refused(NamedTuple):
    """Nobody said where to start, and it matters: the topic holds this many records."""

    records: int


class Start(NamedTuple):
    """Where one partition begins. With `at_seconds` the offset is still to be looked up by time, not below this one."""

    offset: int
    receipts_offset: int = 0
    at_seconds: float | None = None
    lost: Bounds | None = None
    """Committed offsets that are no longer in the log: [beginning, end)."""
    beyond: Bounds | None = None
    """What the log holds, where that ends below the commit. Receipts since `at_seconds` tell what of it was handled."""


def encode_note(note: CommitNote) -> str:
    """The note as the metadata string of a commit."""
    return msgspec.json.encode(note).decode()


def decode_note(metadata: str) -> CommitNote:
    """The note of a commit; an empty one where the metadata is not ours."""
    try:
        return msgspec.json.decode(metadata.encode(), type=CommitNote)
    except (msgspec.DecodeError, UnicodeError):
        return CommitNote()


def were_given_back(partitions: Iterable[int], committed: Mapping[int, Committed]) -> bool:
    """Whether no earlier owner of these partitions can still be sending.

    The last one said so with its last commit, or there was none: without a commit nobody ever had a lease.
    """
    return all(
        decode_note(committed[partition].metadata).given_back for partition in partitions if partition in committed
    )


def choose(
    committed: Mapping[int, Committed], bounds: Mapping[int, Bounds], start_from: StartFrom, wall_seconds: float
) -> Choice | Refused:
    """The group's choice: the one in its commits, else the configured one; an empty topic needs none.

    `committed` and `bounds` are those of all partitions of the topic. A group that has committed without a note
    of ours was started by somebody else: partitions without a commit then begin at their beginning.
    """
    notes = [decode_note(commit.metadata).choice for commit in committed.values()]
    made = [choice for choice in notes if choice is not None]
    if made:
        return min(made, key=lambda choice: choice.at)
    records = sum(bound.end - bound.beginning for bound in bounds.values())
    if committed or records == 0:
        return Choice("earliest", wall_seconds, len(bounds))
    if start_from == "refuse":
        return Refused(records)
    return Choice(start_from, wall_seconds, len(bounds))


def plan_starts(
    partitions: Iterable[int], committed: Mapping[int, Committed], bounds: Mapping[int, Bounds], choice: Choice
) -> dict[int, Start]:
    """Where each of `partitions` begins."""
    return {
        partition: _start(partition, committed.get(partition), bounds[partition], choice) for partition in partitions
    }


def _start(partition: int, commit: Committed | None, bounds: Bounds, choice: Choice) -> Start:
    if commit is None:
        follows_latest = choice.start_from == "latest" and partition < choice.partitions
        return Start(bounds.beginning, at_seconds=choice.at if follows_latest else None)
    note = decode_note(commit.metadata)
    if commit.offset < bounds.beginning:
        return Start(bounds.beginning, note.receipts_offset, lost=Bounds(commit.offset, bounds.beginning))
    if commit.offset > bounds.end:
        return Start(bounds.beginning, at_seconds=note.at - CLOCKS_SECONDS if note.at else None, beyond=bounds)
    return Start(commit.offset, note.receipts_offset)
