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

    Lines that bring no id get one, so that a content that is sent again is billed once: from everything up to and
    including the line, or, where it has a `name`, from that, the line's number and its content. Not what comes from a
    pipe without a name: that it says the same as yesterday does not make it the same.
    """

    def __init__(
        self,
        content: BinaryIO,
        topic: str,
        wall_seconds: float,
        name: str = "",
        first: int = 1,
        *,
        from_pipe: bool = False,
    ) -> None:
        self._content = content
        self._gets_ids = bool(name) or not from_pipe
        self._origin = Origin("", topic, 0)
        self._wall_seconds = wall_seconds
        self._name = name
        self.first = first
        self.last = 0
        """The last line's number, once the lines have been read."""

    def check(self) -> Verdict:
        """Every broken line, and how many are good."""
        broken, good, without_id = [], 0, 0
        for number, _, event, _ in self._decoded():
            if isinstance(event, InvalidEvent):
                broken.append(BrokenLine(number, event.reason, event.detail))
            else:
                good += 1
                without_id += self._is_nameless(number, event)
        return Verdict(broken, good, without_id)

    def good(self) -> Iterator[GoodLine]:
        """The lines that can be billed, in the file's order."""
        for number, value, event, key in self._decoded():
            if isinstance(event, UsageEvent):
                yield GoodLine(number, event.customer, value, key)

    def _decoded(self) -> Iterator[tuple[int, bytes, UsageEvent | InvalidEvent, str]]:
        """With the key that the line is to get, "" when it says itself who it is."""
        self._content.seek(0)
        lines = identity.Lines()
        for number, line in enumerate(self._content, start=1):
            self.last = number
            value = line.rstrip(b"\r\n")
            lines.add(value)
            if number >= self.first and value.strip():
                record = LineRecord(number, self._timestamp_milliseconds, None, value)
                event = decode(record, self._origin, self._wall_seconds)
                gets_id = self._gets_ids and self._is_nameless(number, event)
                yield number, value, event, self._key(number, value, lines) if gets_id else ""

    def _is_nameless(self, number: int, event: UsageEvent | InvalidEvent) -> bool:
        """Whether its identity would be the place of its record: it brings none of its own."""
        place = identity.of_origin(*self._origin, number, self._timestamp_milliseconds)
        return isinstance(event, UsageEvent) and event.key == place

    def _key(self, number: int, value: bytes, lines: identity.Lines) -> str:
        return identity.of_named_line(self._name, number, value.decode()) if self._name else lines.key()

    @property
    def _timestamp_milliseconds(self) -> int:
        return int(self._wall_seconds * 1000)
