"""The dead-letter topic from its first record to its end as of now, one entry per origin.

Dead letters are written at least once, so readers count once per origin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from meter.cli.broker import consumer, partitions_of
from meter.kafka.whole_topic import records_until_now
from meter.settings import KafkaSettings


@dataclass(slots=True)
class DeadLetter:
    """One event that could never be billed; `copies` records of the topic tell of it."""

    origin: str
    headers: Sequence[tuple[str, bytes]]
    key: bytes | None
    value: bytes | None
    copies: int = 1

    def header(self, name: str) -> str:
        """The last header of this name as text, "" without one."""
        found = [value for header, value in self.headers if header == name]
        return found[-1].decode("utf-8", "backslashreplace") if found else ""

    @property
    def reason(self) -> str:
        """Why it was dead-lettered."""
        return self.header("meter-reason") or "(no reason given)"

    def summary(self) -> dict[str, object]:
        """What a list shows."""
        attempts = self.header("meter-attempts")
        return {
            "origin": self.origin,
            "reason": self.reason,
            "detail": self.header("meter-detail"),
            "key": self.header("meter-key"),
            "attempts": int(attempts) if attempts.isdecimal() else 0,
            "at": self.header("meter-at"),
            "copies": self.copies,
        }

    def whole(self) -> dict[str, object]:
        """Everything; bytes that are not UTF-8 stand escaped, and in hexadecimal beside."""
        return {
            **self.summary(),
            "headers": [[name, _text(value)] for name, value in self.headers],
            "recordKey": _text(self.key),
            "value": _text(self.value),
            "valueHex": None if self.value is None or _is_text(self.value) else self.value.hex(),
        }


async def read_topic(kafka: KafkaSettings, only: str | None = None) -> list[DeadLetter] | None:
    """Every dead letter by first appearance, values left out; `only` one origin: that one, whole.

    None when there is no such topic. Raises `Unavailable`.
    """
    async with consumer(kafka) as client:
        numbers = await partitions_of(client._client, kafka.dead_letter_topic)  # noqa: SLF001 - it has no public name
        if numbers is None:
            return None
        letters: dict[str, DeadLetter] = {}
        partitions = [TopicPartition(kafka.dead_letter_topic, number) for number in numbers]
        async for record in records_until_now(client, partitions):
            _count(record, letters, only)
    return list(letters.values())


def _count(record: ConsumerRecord, letters: dict[str, DeadLetter], only: str | None) -> None:
    letter = DeadLetter("", record.headers, record.key, record.value)
    letter.origin = letter.header("meter-origin") or f"{record.topic}:{record.partition}:{record.offset}"
    if only is not None and letter.origin != only:
        return
    if letter.origin in letters:
        letters[letter.origin].copies += 1
        return
    if only is None:
        letter.value = None  # a list of a million need not hold their values
    letters[letter.origin] = letter


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
