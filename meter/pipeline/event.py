"""A record becomes a usage event, or an invalid one with its reason; here the event gets its identity."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec


class Record(Protocol):
    """One record of the topic, as the Kafka client hands it over."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Origin(NamedTuple):
    """Where records come from: part of the identity of an event that brings none of its own."""

    cluster_id: str
    topic: str
    partition: int


class UsageEvent(msgspec.Struct, gc=False, eq=False):
    """One valid event on its way; `gc=False`: thousands live at once, and the collector need not walk them."""

    key: str  # the idempotency key, see `identity`
    customer: str
    product: str  # "" when the event names none
    units: int
    counts: bool  # outcome is `success`: its units count against a limit
    digest: int  # 32 bits over customer, product, action, units, outcome: tells a copy from a conflict
    timestamp_seconds: float  # the event's own time, Unix
    body: bytes  # the JSON object for the provider, canonical names, key included
    record: Record
    partition: int
    # What happened to it so far; written by the machine alone.
    epoch: int = 0
    attempts: int = 0
    sent: bool = False  # left for the provider at least once
    unknown: bool = False  # and at least once nobody knows what became of it


class InvalidEvent(msgspec.Struct, gc=False, eq=False):
    """A record that can never be billed, with the reason for its dead letter."""

    reason: str  # `invalid:<rule>`, `expired` or `future`
    detail: str  # one sentence for a person; no more than 200 characters
    record: Record
    partition: int
    key: str = ""  # its identity when it could be read
