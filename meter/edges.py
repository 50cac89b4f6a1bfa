"""What the worker needs of Kafka and of the provider: small Protocols, owned here by their user.

The adapters (`meter.kafka`, `meter.billing`) and the fakes of the tests fit them without inheriting.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from meter.clock import Clock
from meter.pipeline.event import Record
from meter.pipeline.outcome import Outcome
from meter.pipeline.start import Bounds, Committed

RebalanceCallback = Callable[[frozenset[int]], Awaitable[None]]
Spawn = Callable[[Coroutine[object, object, None]], "asyncio.Task[None]"]
"""Starts a task that ends with the membership at the latest."""


class EventSource(Protocol):
    """One membership in the group, on the topic with the usage events; partitions are plain numbers."""

    @property
    def cluster_id(self) -> str: ...

    async def start(self, on_revoked: RebalanceCallback, on_assigned: RebalanceCallback) -> None:
        """Joins. New partitions deliver nothing until resumed. Raises Unavailable, Unauthenticated."""

    async def poll(self, max_records: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        """The next records. Raises what a listener raised, and LostRange for positions out of retention."""

    def pause(self, partitions: Iterable[int]) -> None: ...
    def resume(self, partitions: Iterable[int]) -> None: ...
    def seek(self, partition: int, offset: int) -> None: ...
    async def position(self, partition: int) -> int: ...

    async def commit(self, commits: Mapping[int, Committed]) -> None:
        """Raises Redelivered when we are no longer a member, Unavailable when nobody knows whether it was taken.

        Then it must be read back before the next one: `committer.py` sees to that.
        """

    async def committed(self, partitions: Iterable[int]) -> Mapping[int, Committed]:
        """The group's commits with their metadata; partitions without one are absent. Raises Unavailable."""

    async def bounds(self, partitions: Iterable[int]) -> Mapping[int, Bounds]:
        """Raises Unavailable."""

    async def offsets_at(self, partitions: Iterable[int], wall_seconds: float) -> Mapping[int, int]:
        """The first offset not older than this, or the end. Raises Unavailable."""

    async def oldest_at(self, partitions: Iterable[int]) -> float | None:
        """When the oldest record kept was written, Unix seconds; None when there is none. Raises Unavailable."""

    async def partition_count(self) -> int:
        """Raises Unavailable."""

    async def close(self) -> None:
        """Leaves the group; never raises, and takes a bounded time."""


class ReceiptLog(Protocol):
    """The receipts topic."""

    async def write(self, partition: int, value: bytes) -> int:
        """The offset at which the broker acknowledged it. Raises Unavailable, RecordTooLarge."""

    def read(self, partition: int, start: int) -> AsyncGenerator[Sequence[tuple[int, bytes]], None]:
        """Chunks of (offset, value) from `start` to the end as of the call. Raises Unavailable."""

    async def offset_at(self, partition: int, wall_seconds: float) -> int: ...
    async def end(self, partition: int) -> int: ...


class DeadLetterLog(Protocol):
    """The dead-letter topic."""

    async def write(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        """Acknowledged by the broker; what does not fit is cut, and says so. Raises Unavailable."""


class BillingApi(Protocol):
    """The provider, as far as usage goes."""

    async def record_bulk(self, bodies: Sequence[bytes], may_send: Callable[[], bool]) -> Outcome:
        """One bulk call. `may_send` is asked directly before anything is written. Raises nothing."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All that one membership has of the world outside."""

    source: EventSource
    receipts: ReceiptLog
    dead_letters: DeadLetterLog
    billing: BillingApi
    clock: Clock
