"""Lines of a file: which are good, and who they are when they do not say so."""

import io
import json
from datetime import UTC, datetime

from meter.cli.event_lines import EventLines, GoodLine
from meter.pipeline.event import Origin, UsageEvent, decode
from meter.pipeline.headers import KEY
from tests.records import NOW_SECONDS, FakeRecord

NAMELESS = json.dumps({"customerRef": "c", "units": 1})
OTHER = json.dumps({"customerRef": "c", "units": 2})
NAMED = [
    json.dumps({"customerRef": "c", "idempotencyKey": "own"}),
    json.dumps({"customerRef": "c", "requestId": "r"}),
    json.dumps({"specversion": "1.0", "source": "/s", "id": "1", "type": "t", "data": {"customerRef": "c"}}),
]


def lines_of(*lines: str, name: str = "", seconds: float = NOW_SECONDS, first: int = 1) -> EventLines:
    return EventLines(io.BytesIO("\n".join(lines).encode()), "t", seconds, name, first)


def keys(lines: EventLines) -> list[str]:
    return [line.key for line in lines.good()]


def billed_as(line: GoodLine) -> str:
    """The key of the event that meter makes of the record."""
    headers = ((KEY, line.key.encode()),) if line.key else ()
    event = decode(FakeRecord(line.value, headers), Origin("cluster-1", "t", 0), NOW_SECONDS)
    assert isinstance(event, UsageEvent)
    return event.key


def test_a_line_without_an_id_is_the_same_event_whenever_and_from_wherever_it_is_sent() -> None:
    """Nothing but the content counts: not the time, nor a file's name, and it is the key that is billed."""
    first, later = lines_of(NAMELESS), lines_of(NAMELESS, seconds=NOW_SECONDS + 3600)
    assert keys(first) == keys(later)
    (line,) = first.good()
    assert line.key.startswith("line:")
    assert billed_as(line) == line.key


def test_two_equal_lines_are_two_events_and_so_are_those_of_contents_that_differ_above_them() -> None:
    """Nothing is taken for a copy only because it stands at the same place of another day's export."""
    monday, tuesday = lines_of(NAMELESS, NAMELESS, NAMELESS), lines_of(OTHER, NAMELESS, NAMELESS)
    assert len({*keys(monday), *keys(tuesday)}) == 6


def test_what_was_sent_keeps_its_keys_when_lines_are_added_below() -> None:
    """A file that grew between two tries; the kind of its line ends, and a last one that is missing, are nothing."""
    before = keys(lines_of(NAMELESS, "", NAMED[0], NAMELESS))
    grown = EventLines(
        io.BytesIO(f"{NAMELESS}\r\n\r\n{NAMED[0]}\r\n{NAMELESS}\r\n{OTHER}\r\n".encode()), "t", NOW_SECONDS
    )
    assert keys(grown)[:-1] == before


def test_lines_that_are_left_out_count_all_the_same() -> None:
    """`--from-line`, and broken lines that are skipped, today or when they are too old: the others keep their keys."""
    assert keys(lines_of("broken", NAMELESS, NAMELESS, first=3)) == keys(lines_of("broken", NAMELESS, NAMELESS))[1:]
    dated = [
        json.dumps({"customerRef": "c", "timestamp": datetime.fromtimestamp(NOW_SECONDS, UTC).isoformat()}),
        NAMELESS,
    ]
    assert keys(lines_of(*dated, seconds=NOW_SECONDS + 31 * 86_400)) == keys(lines_of(*dated))[1:]


def test_a_line_that_says_who_it_is_gets_no_other_key() -> None:
    """An id, a request's id, a CloudEvent's: what it says stands."""
    assert keys(lines_of(*NAMED)) == ["", "", ""]
    assert [billed_as(line).partition(":")[0] for line in lines_of(*NAMED).good()] == ["own", "req", "ce"]


def test_a_name_keeps_lines_what_they_are_when_those_above_are_mended() -> None:
    """Send with --skip-broken, fix the file, send it again: the others are recognised."""
    before, after = lines_of("broken", NAMELESS, "", name="n"), lines_of(NAMED[0], NAMELESS, "", name="n")
    assert keys(before)[-1] == keys(after)[-1]
    assert (len(before.check().broken), before.check().good, before.check().without_id) == (1, 1, 1)
    assert keys(lines_of("broken", NAMELESS, name="n", first=2)) == keys(before)


def test_a_name_tells_the_same_lines_apart() -> None:
    """What is meant twice can be said to be."""
    assert (
        len({*keys(lines_of(NAMELESS)), *keys(lines_of(NAMELESS, name="a")), *keys(lines_of(NAMELESS, name="b"))}) == 3
    )


def test_lines_of_a_pipe_are_new_events_each_time_unless_they_have_a_name() -> None:
    """What a pipe says today may be what it said yesterday, and mean something new: one of both would not be billed."""
    piped = EventLines(io.BytesIO(NAMELESS.encode()), "t", NOW_SECONDS, from_pipe=True)
    assert (keys(piped), piped.check().without_id) == ([""], 1)
    named = EventLines(io.BytesIO(NAMELESS.encode()), "t", NOW_SECONDS, "n", from_pipe=True)
    assert keys(named) == keys(lines_of(NAMELESS, name="n"))
