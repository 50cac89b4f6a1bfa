"""Events on their way back to the source topic, as records, and who writes them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from meter.pipeline import headers as names
from meter.pipeline.event import Record
from meter.pipeline.headers import Headers

MOST_AT_ONCE = 500
"""Records that are sent together, at the most: whoever is killed in between sends no more than these again."""


class Outgoing(NamedTuple):
    """A record for the source topic."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    event_key: str


class Sender(Protocol):
    """Writes, every record acknowledged; raises `Unavailable`, `CommandFailed`."""

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """To the source topic."""


def carrying(record: Record, partition: int, carried: Mapping[str, str]) -> Outgoing:
    """The record with these headers of ours, which tell its key, instead of those that it had."""
    headers = names.foreign(record.headers) + names.encoded(carried)
    return Outgoing(partition, record.key, record.value, headers, carried[names.KEY])
