"""Where a record is, or was."""

from typing import NamedTuple


class Place(NamedTuple):
    """One record of one topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


def place_of(text: str) -> Place | None:
    """The place in `topic:partition:offset`; None for anything else."""
    topic, partition, offset = [*text.rsplit(":", 2), "", ""][:3]
    numbers = partition.isascii() and partition.isdecimal() and offset.isascii() and offset.isdecimal()
    return Place(topic, int(partition), int(offset)) if topic and numbers and len(partition + offset) < 30 else None
