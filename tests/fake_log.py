"""One partition in memory, and what goes wrong next: the passive half of `tests/kafka_fakes.py`."""

import asyncio
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from meter.errors import MeterError, Unavailable

Headers = Sequence[tuple[str, bytes]]
Effect = Literal["fail", "hang", "lose", "none"]

HANG_SECONDS = 600.0
"""Longer than any test: whoever waits for the end of this has hung."""


class FakeRecord(NamedTuple):
    """One record of a log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class FakeLog:
    """One partition of a topic."""

    records: list[FakeRecord] = field(default_factory=list)
    beginning: int = 0
    end: int = 0

    def append(self, key: bytes | None, value: bytes | None, headers: Headers, timestamp: int) -> int:
        """The new record's offset."""
        self.records.append(FakeRecord(self.end, timestamp, key, value, tuple(headers)))
        self.end += 1
        return self.end - 1

    def append_marker(self) -> None:
        """The end of a transaction: an offset without a record."""
        self.end += 1

    def expire(self, before: int) -> None:
        """Retention: nothing below `before` is kept."""
        self.beginning = min(max(self.beginning, before), self.end)
        self.records = self.records[self._index(self.beginning) :]

    def after(self, offset: int, count: int) -> list[FakeRecord]:
        """Up to `count` records from `offset` on."""
        index = self._index(offset)
        return self.records[index : index + count]

    def at_time(self, wall_seconds: float) -> int:
        """The first offset at or after this time, or the end."""
        return next((record.offset for record in self.records if record.timestamp >= wall_seconds * 1000), self.end)

    def _index(self, offset: int) -> int:
        return bisect_left(self.records, offset, key=lambda record: record.offset)


class Faults:
    """What goes wrong next, by operation: the method's name, for receipts and dead letters with the log's before it.

    For example `commit`, `receipts.write`, `dead_letters.write`.
    """

    def __init__(self) -> None:
        self._next: defaultdict[str, deque[tuple[Effect, MeterError]]] = defaultdict(deque)
        self._released = asyncio.Event()
        self.hanging = 0
        """How many operations wait for `release` now."""

    def fail(self, operation: str, times: int = 1, error: MeterError | None = None) -> None:
        """The next calls raise, without effect."""
        self._next[operation].extend([("fail", error or Unavailable(f"scripted: {operation} fails"))] * times)

    def lose(self, operation: str, times: int = 1) -> None:
        """The next calls take effect and raise Unavailable: the answer is lost."""
        self._next[operation].extend([("lose", Unavailable(f"scripted: {operation} without an answer"))] * times)

    def hang(self, operation: str, times: int = 1) -> None:
        """The next calls wait for `release`, and raise Unavailable when it does not come within `HANG_SECONDS`."""
        self._released.clear()
        self._next[operation].extend([("hang", Unavailable(f"scripted: {operation} gave no answer"))] * times)

    def none(self) -> None:
        """From now on nothing fails."""
        self._next.clear()
        self.release()

    def release(self) -> None:
        """What hangs goes on."""
        self._released.set()

    def strike(self, operation: str) -> tuple[Effect, MeterError]:
        """What happens to this one."""
        waiting = self._next[operation]
        return waiting.popleft() if waiting else ("none", Unavailable(operation))

    @asynccontextmanager
    async def around(self, operation: str) -> AsyncIterator[None]:
        """The operation's effect happens inside."""
        await asyncio.sleep(0)
        effect, error = self.strike(operation)
        if effect == "fail":
            raise error
        if effect == "hang":
            self.hanging += 1
            try:
                await asyncio.wait_for(self._released.wait(), HANG_SECONDS)
            except TimeoutError:
                raise error from None
            finally:
                self.hanging -= 1
        yield
        if effect == "lose":
            raise error
