"""What is cut from a dead letter that does not fit, and in which order."""

import hashlib
import json

from meter.kafka.dead_letters import DeadLetter, shorter_and_shorter
from meter.pipeline.headers import TRUNCATED

LETTER = DeadLetter(b"key", b"value", [("foreign", b"1"), ("meter-origin", b"usage:0:7"), ("meter-reason", b"x")])


def test_it_is_tried_whole_first() -> None:
    """Nothing is cut without need."""
    assert next(shorter_and_shorter(LETTER)) == LETTER


def test_value_then_foreign_headers_then_key() -> None:
    """What tells most about the event goes last, and what meter says of it never."""
    _, without_value, without_headers, without_key = shorter_and_shorter(LETTER)
    assert (without_value.key, without_value.value) == (b"key", b"")
    assert [name for name, _ in without_value.headers] == ["foreign", "meter-origin", "meter-reason", TRUNCATED]
    assert [name for name, _ in without_headers.headers] == ["meter-origin", "meter-reason", TRUNCATED]
    assert (without_headers.key, without_key.key) == (b"key", None)


def test_what_was_cut_can_be_recognised() -> None:
    """By its length and its SHA-256, at the origin for as long as the source keeps it."""
    *_, last = shorter_and_shorter(LETTER)
    assert json.loads(dict(last.headers)[TRUNCATED]) == {
        "value_bytes": 5,
        "sha256": hashlib.sha256(b"value").hexdigest(),
        "headers": 1,
        "key_bytes": 3,
    }


def test_a_letter_without_key_or_value_is_cut_as_well() -> None:
    """Its headers may be what does not fit."""
    letters = list(shorter_and_shorter(DeadLetter(None, None, [("foreign", b"1")])))
    assert [letter.key for letter in letters] == [None, None, None]
    assert [len(letter.headers) for letter in letters] == [1, 2, 1]
