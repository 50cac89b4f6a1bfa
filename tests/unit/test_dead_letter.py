"""What stands beside a record in the dead letters."""

from meter.pipeline.dead_letter import headers
from meter.pipeline.event import InvalidEvent, Origin, decode
from meter.pipeline.settlement import DeadLetterWrite
from tests.builders import Driver, bad_record, event
from tests.records import NOW_SECONDS, FakeRecord


def written(value: bytes, *given: tuple[str, bytes], reason: str = "invalid:not_json") -> dict[str, bytes]:
    made = decode(FakeRecord(value, given, offset=41), Origin("cluster", "usage-events", 2), NOW_SECONDS)
    assert isinstance(made, InvalidEvent)
    return dict(headers(DeadLetterWrite(1, made, reason, "said so"), "usage-events"))


def test_it_says_why_where_from_and_when() -> None:
    """The names and forms that tools rely on."""
    one = event("k", offset=7, partition=3)
    one.attempts = 4
    assert dict(
        headers(DeadLetterWrite(1, one, "rejected", "said so", at_wall_seconds=1763930000.0), "usage-events")
    ) == {
        "meter-reason": b"rejected",
        "meter-detail": b"said so",
        "meter-origin": b"usage-events:3:7",
        "meter-key": b"k",
        "meter-attempts": b"4",
        "meter-timestamp": str(one.record.timestamp).encode(),
        "meter-at": b"2025-11-23T20:33:20.000Z",
    }


def test_the_records_own_headers_are_kept() -> None:
    """All of them, repeated ones too, before ours."""
    made = decode(FakeRecord(b"x", (("trace", b"1"), ("trace", b"2"))), Origin("c", "usage-events", 2), NOW_SECONDS)
    assert headers(DeadLetterWrite(1, made, "r", "d"), "t")[:2] == [("trace", b"1"), ("trace", b"2")]


def test_an_event_that_was_here_before_keeps_its_first_origin() -> None:
    """And none of what was said about it then."""
    found = written(
        b"x", ("meter-origin", b"usage-events:0:5"), ("meter-reason", b"old"), ("meter-outcome", b"unknown")
    )
    assert found["meter-origin"] == b"usage-events:0:5"
    assert found["meter-reason"] == b"invalid:not_json"
    assert "meter-outcome" not in found


def test_a_redriven_record_that_dies_again_adds_to_its_past() -> None:
    """Identity and time of the first life, the sum of the tries, and the place where it was found this time."""
    past = (("meter-origin", b"usage-events:0:5"), ("meter-key", b"k"), ("meter-timestamp", b"1700000000000"))
    found = written(b"x", *past, ("meter-attempts", b"3"), ("meter-redrives", b"2"))
    assert (found["meter-key"], found["meter-timestamp"]) == (b"k", b"1700000000000")
    assert (found["meter-attempts"], found["meter-redrives"]) == (b"3", b"2")
    assert found["meter-record"] == b"usage-events:2:41"


def test_an_outcome_that_nobody_knows_is_marked() -> None:
    """L4: the provider may have billed it all the same."""
    one = event("k")
    one.unknown = True
    assert dict(headers(DeadLetterWrite(1, one, "expired", "d"), "t"))["meter-outcome"] == b"unknown"


def test_any_text_becomes_a_header() -> None:
    """Lone surrogates in a detail or a foreign origin that is no UTF-8 do not stop the dead letter."""
    made = decode(FakeRecord(b"x", (("meter-origin", b"\xff"),)), Origin("c", "t", 2), NOW_SECONDS)
    found = dict(headers(DeadLetterWrite(1, made, "r", "half \ud800"), "t"))
    assert found["meter-detail"] == b"half ?"
    assert found["meter-origin"].decode() == "�"


def test_a_second_try_is_the_same_record() -> None:
    """Then it joins the first, if that is still on its way: one copy, and a producer that never ends is given up."""
    driver = Driver(0)
    driver.feed(0, bad_record(0))
    first = [headers(write, "t") for write in driver.writes if isinstance(write, DeadLetterWrite)]
    driver.fail_writes()
    driver.pass_time(10.0)
    again = [headers(write, "t") for write in driver.writes if isinstance(write, DeadLetterWrite)]
    assert first == again
    assert dict(first[0])["meter-at"] != b"1970-01-01T00:00:00.000Z"
