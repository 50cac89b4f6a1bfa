"""A file of events, one JSON object a line: which lines meter would bill, and what is wrong with the others."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from meter.pipeline.event import InvalidEvent, Origin, UsageEvent, decode


class LineRecord(NamedTuple):
    """A line as the record that it would become."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class BrokenLine(NamedTuple):
    """A line that would end in the dead letters."""

    number: int
    reason: str
    detail: str


class GoodLine(NamedTuple):
    """What is sent: the line as given, under its customer."""

    number: int
    customer: str
    value: bytes


class EventLines:
    """Lines of a file that can be read twice; both times with the same clock and the same verdicts."""

    def __init__(self, content: BinaryIO, topic: str, wall_seconds: float) -> None:
        self._content = content
        self._origin = Origin("", topic, 0)
        self._wall_seconds = wall_seconds

    def check(self) -> tuple[list[BrokenLine], int]:
        """Every broken line, and how many are good."""
        broken, good = [], 0
        for number, _, event in self._decoded():
            if isinstance(event, InvalidEvent):
                broken.append(BrokenLine(number, event.reason, event.detail))
            else:
                good += 1
        return broken, good

    def good(self) -> Iterator[GoodLine]:
        """The lines that can be billed, in the file's order."""
        for number, value, event in self._decoded():
            if isinstance(event, UsageEvent):
                yield GoodLine(number, event.customer, value)

    def _decoded(self) -> Iterator[tuple[int, bytes, UsageEvent | InvalidEvent]]:
        self._content.seek(0)
        timestamp_ms = int(self._wall_seconds * 1000)
        for number, line in enumerate(self._content, start=1):
            value = line.rstrip(b"\r\n")
            if value.strip():
                record = LineRecord(number, timestamp_ms, None, value)
                yield number, value, decode(record, self._origin, self._wall_seconds)
