"""Lines of a file: which are good, and who they are when they do not say so."""

import io
import json

from meter.cli.event_lines import EventLines, GoodLine
from meter.pipeline.event import Origin, UsageEvent, decode
from meter.pipeline.headers import KEY
from tests.records import NOW_SECONDS, FakeRecord

NAMELESS = json.dumps({"customerRef": "c", "units": 1})
NAMED = [
    json.dumps({"customerRef": "c", "idempotencyKey": "own"}),
    json.dumps({"customerRef": "c", "requestId": "r"}),
    json.dumps({"specversion": "1.0", "source": "/s", "id": "1", "type": "t", "data": {"customerRef": "c"}}),
]


def lines_of(*lines: str, name: str = "usage.jsonl", seconds: float = NOW_SECONDS, first: int = 1) -> EventLines:
    return EventLines(io.BytesIO("\n".join(lines).encode()), "t", seconds, name, first)


def keys(lines: EventLines) -> list[str]:
    return [line.key for line in lines.good()]


def billed_as(line: GoodLine) -> str:
    """The key of the event that meter makes of the record."""
    headers = ((KEY, line.key.encode()),) if line.key else ()
    event = decode(FakeRecord(line.value, headers), Origin("cluster-1", "t", 0), NOW_SECONDS)
    assert isinstance(event, UsageEvent)
    return event.key


def test_a_line_without_an_id_is_the_same_event_whenever_the_file_is_sent() -> None:
    """The same name, number and content: the same key, at another time as well, and it is the one that is billed."""
    first, later = lines_of(NAMELESS), lines_of(NAMELESS, seconds=NOW_SECONDS + 3600)
    assert keys(first) == keys(later)
    (line,) = first.good()
    assert line.key.startswith("line:")
    assert billed_as(line) == line.key


def test_two_equal_lines_are_two_events_and_so_are_those_of_two_files() -> None:
    """Nothing is taken for a copy only because it looks like another."""
    twice = keys(lines_of(NAMELESS, NAMELESS))
    other = keys(lines_of(NAMELESS, name="other.jsonl"))
    assert len({*twice, *other}) == 3


def test_a_line_that_says_who_it_is_gets_no_other_key() -> None:
    """An id, a request's id, a CloudEvent's: what it says stands."""
    assert keys(lines_of(*NAMED)) == ["", "", ""]
    assert [billed_as(line).partition(":")[0] for line in lines_of(*NAMED).good()] == ["own", "req", "ce"]


def test_a_mended_or_skipped_line_leaves_the_others_as_they_were() -> None:
    """Send with --skip-broken, mend the file, send it again: the others are recognised."""
    before, after = lines_of("broken", NAMELESS, ""), lines_of(NAMED[0], NAMELESS, "")
    assert keys(before)[-1] == keys(after)[-1]
    assert (len(before.check().broken), before.check().good, before.check().without_id) == (1, 1, 1)
    assert keys(lines_of("broken", NAMELESS, first=2)) == keys(before)


def test_a_pipe_has_no_name_and_its_lines_no_ids() -> None:
    """What is typed twice is meant twice."""
    assert keys(lines_of(NAMELESS, name="")) == [""]
    assert lines_of(NAMELESS, name="").check().without_id == 1
