"""How the demo reads the topics: at least once written, once counted."""

from collections.abc import Sequence
from dataclasses import dataclass

from meter.demo.evidence import dead_lettered, receipts
from meter.demo.reconciliation import Origin
from meter.pipeline import receipt
from meter.pipeline.receipt import Receipt


@dataclass(frozen=True)
class Stored:
    """A record as the client hands it over."""

    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None


def letter(origin: bytes, reason: bytes) -> Stored:
    return Stored(headers=[("meter-origin", origin), ("meter-reason", reason)])


def receipted(offsets: Sequence[int], keys: Sequence[str], ends: str) -> Stored:
    columns = [""] * len(keys), [0] * len(keys)
    return Stored(receipt.encode(Receipt(1, "meter", "p", "sandbox", 2, "b", 0.0, offsets, keys, ends, *columns)))


def test_a_dead_letter_written_twice_counts_once() -> None:
    """Its origin is what identifies it."""
    letters = [letter(b"usage-events:1:7", b"expired")] * 2 + [letter(b"usage-events:0:7", b"invalid:units")]
    assert dead_lettered(letters) == {Origin(1, 7): "expired", Origin(0, 7): "invalid:units"}


def test_a_dead_letter_without_an_origin_is_not_overlooked() -> None:
    """It stands for no record that was produced, so the verdict will name it."""
    assert dead_lettered([Stored(offset=4)]) == {Origin(-1, 4): "(none)"}


def test_an_offset_has_one_end_and_accepted_wins() -> None:
    """A restart may write both; the event was billed all the same."""
    read = receipts([receipted([3, 4], ["a", "b"], "aa"), receipted([3, 5], ["a", "b"], "dd"), Stored(b"{}")])
    assert read.ends == {Origin(2, 3): ("a", "a"), Origin(2, 4): ("b", "a"), Origin(2, 5): ("b", "d")}
    assert read.accepted_keys == {"a", "b"}
