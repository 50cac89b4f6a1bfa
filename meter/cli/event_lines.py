"""A file of events, one JSON object a line: which lines meter would bill, and what is wrong with the others."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from meter.pipeline import identity
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
    key: str
    """The idempotency key that is sent beside it; "" when the line says who it is itself."""


class Verdict(NamedTuple):
    """What is in a file."""

    broken: list[BrokenLine]
    good: int
    without_id: int
    """Good lines that do not say which event they are."""


class EventLines:
    """Lines of a file that can be read twice; both times with the same clock and the same verdicts.

    `name` is the file's, without folders: lines that bring no id get one from it, their number and their content, so
    that a file that is sent again is billed once. Without a name they get none, and each sending is a new event.
    """

    def __init__(self, content: BinaryIO, topic: str, wall_seconds: float, name: str = "", first: int = 1) -> None:
        self._content = content
        self._origin = Origin("", topic, 0)
        self._wall_seconds = wall_seconds
        self._name = name
        self.first = first
        self.last = 0
        """The last line's number, once the lines have been read."""

    def check(self) -> Verdict:
        """Every broken line, and how many are good."""
        broken, good, without_id = [], 0, 0
        for number, _, event in self._decoded():
            if isinstance(event, InvalidEvent):
                broken.append(BrokenLine(number, event.reason, event.detail))
            else:
                good += 1
                without_id += self._is_nameless(number, event)
        return Verdict(broken, good, without_id)

    def good(self) -> Iterator[GoodLine]:
        """The lines that can be billed, in the file's order."""
        for number, value, event in self._decoded():
            if isinstance(event, UsageEvent):
                makes_one = self._name and self._is_nameless(number, event)
                key = identity.of_line(self._name, number, value.decode()) if makes_one else ""
                yield GoodLine(number, event.customer, value, key)

    def _is_nameless(self, number: int, event: UsageEvent) -> bool:
        """Whether its identity would be the place of its record: it brings none of its own."""
        return event.key == identity.of_origin(*self._origin, number, self._timestamp_milliseconds)

    @property
    def _timestamp_milliseconds(self) -> int:
        return int(self._wall_seconds * 1000)

    def _decoded(self) -> Iterator[tuple[int, bytes, UsageEvent | InvalidEvent]]:
        self._content.seek(0)
        for number, line in enumerate(self._content, start=1):
            self.last = number
            value = line.rstrip(b"\r\n")
            if number >= self.first and value.strip():
                record = LineRecord(number, self._timestamp_milliseconds, None, value)
                yield number, value, decode(record, self._origin, self._wall_seconds)
