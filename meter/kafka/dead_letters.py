"""Dead letters: what can never be billed is kept whole, or cut until the broker takes it, and says what was cut."""

import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

from meter.errors import RecordTooLarge, Unavailable
from meter.kafka.writer import Writer
from meter.pipeline.headers import TRUNCATED, Headers, is_ours
from meter.settings import KafkaSettings


class DeadLetter(NamedTuple):
    """A record of the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class KafkaDeadLetters:
    """The dead-letter topic."""

    def __init__(self, kafka: KafkaSettings, writer: Writer) -> None:
        self._topic = kafka.dead_letter_topic
        self._writer = writer

    async def write(self, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Returns once the dead letter is acknowledged, cut as far as necessary.

        Raises `Unavailable`: give it again, it may or may not be written.
        """
        for letter in shorter_and_shorter(DeadLetter(key, value, headers)):
            try:
                # aiokafka writes no record with neither key nor value: an empty value stands for none
                content = b"" if letter.key is None and letter.value is None else letter.value
                await self._writer.write(self._topic, content, key=letter.key, headers=letter.headers)
            except RecordTooLarge:
                continue
            return
        raise Unavailable(
            f"topic {self._topic} does not accept a dead letter even without its value: check its size limits"
        )


def shorter_and_shorter(letter: DeadLetter) -> Iterator[DeadLetter]:
    """The letter as it is, then without its value, then without foreign headers, then without its key.

    `meter-truncated` says what is missing: sizes, and the SHA-256 of the value.
    """
    yield letter
    value = letter.value or b""
    cut: dict[str, int | str] = {"value_bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    yield DeadLetter(letter.key, b"", _marked(letter.headers, cut))
    ours = [header for header in letter.headers if is_ours(header[0])]
    cut["headers"] = len(letter.headers) - len(ours)
    yield DeadLetter(letter.key, b"", _marked(ours, cut))
    if letter.key is not None:
        cut["key_bytes"] = len(letter.key)
        yield DeadLetter(None, b"", _marked(ours, cut))


def _marked(headers: Headers, cut: dict[str, int | str]) -> Headers:
    return [*headers, (TRUNCATED, json.dumps(cut).encode())]
