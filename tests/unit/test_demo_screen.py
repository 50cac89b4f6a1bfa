"""What the demo prints: readable in a pipe, one verdict line, and the failing sets by name."""

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from meter.demo.events import World, stream
from meter.demo.evidence import Evidence, Receipted
from meter.demo.processes import Installation
from meter.demo.reconciliation import Billed, Expected, Fault, Found, Origin
from meter.demo.screen import Screen
from meter.demo.table import Restart, Shown, Times, sections
from meter.demo.watch import Limits, Seen

WORLD = World(["cus_1", "cus_2"], ["prd_1"], "cus_3", "prd_2")
COUNTERS = {"consumed": 7, "accepted": 3, "duplicate": 2, "dead_lettered": 2, "released": 0, "held": 0}
SEEN = Seen(5, {"events": {"held": 3}, "partitions": [{"partition": 0, "committed": 4, "lag": 2}]}, answers=True)


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(output: io.StringIO) -> Screen:
    return Screen(1000, Console(file=output, highlight=False))


def shown() -> Shown:
    expected = Expected({"a": Billed("cus_1", 2)}, {Origin(0, 0): "a", Origin(0, 1): "a"}, {Origin(0, 2): "expired"})
    receipted = Receipted(1, {Origin(0, 0): ("a", "a"), Origin(0, 1): ("a", "d")})
    found = Found([("a", Billed("cus_1", 2))], expected.dead_lettered, expected.keys, frozenset("a"), {0: 0}, COUNTERS)
    evidence = Evidence(found, receipted, 2, {"duplicates": 1})
    answer = {"withinLimits": False, "meter": {"source": "cached", "providerRemaining": 3, "pendingUnits": 9}}
    limits = Limits(Counter(cached=4), [1.0, 2.0, 9.0], 1, answer, answer)
    planned = stream(1, 1000, WORLD, 1_750_000_000.0)
    return Shown(planned, expected, evidence, Restart(8.0, 5, 1, 10.0, COUNTERS), limits, 12, Times())


def test_a_pipe_gets_plain_lines(screen: Screen, output: io.StringIO) -> None:
    """No control characters, no trailing blanks, no line that a narrow console would fold."""
    with screen:
        screen.title("a title [with brackets]")
        screen.say("something happened", "bold red")
        screen.progress(10, SEEN)
        screen.end_progress()
        screen.table(sections(shown()))
        screen.verdict([], "all is well " * 20)
    lines = output.getvalue().split("\n")
    assert all(character.isprintable() for line in lines for character in line)
    assert all(line == line.rstrip() for line in lines[:-2])
    assert "a title [with brackets]" in lines
    assert lines[-2] == "OK  " + "all is well " * 20


def test_a_pipe_is_not_flooded_with_progress(screen: Screen, output: io.StringIO) -> None:
    """However often the numbers move, a line comes every few seconds only."""
    screen.start_clock(already_seconds=10.0)
    for produced in range(100):
        screen.progress(produced, SEEN)
    assert output.getvalue().count("\n") == 1


def test_progress_says_why_there_are_no_numbers(screen: Screen, output: io.StringIO) -> None:
    """A process that is gone, or has no partitions yet, holds no zero events: nobody knows."""
    screen.start_clock(already_seconds=10.0)
    screen.progress(1, Seen(5))
    screen.start_clock(already_seconds=20.0)
    screen.progress(1, replace(SEEN, status={"events": {"held": 0}, "partitions": []}))
    assert "(meter is away)" in output.getvalue()
    assert "(meter waits for its partitions)" in output.getvalue()


def test_a_failed_verdict_names_the_sets(screen: Screen, output: io.StringIO) -> None:
    """One line says so; one more per set, with its first members."""
    screen.verdict([Fault("events billed more than once", ["a", "b"]), Fault("counters", ["+1"])], "")
    first, second, third = output.getvalue().splitlines()
    assert first == "FAILED  the books do not balance: 2 checks failed"
    assert second.strip() == "events billed more than once (2): a, b"
    assert third.strip() == "counters (1): +1"


@pytest.mark.parametrize(
    ("data_stays", "words"),
    [(False, "Ctrl-C stops everything and deletes its data"), (True, "Ctrl-C stops everything; logs and data stay")],
)
def test_a_kept_demo_says_what_becomes_of_its_data(
    screen: Screen, output: io.StringIO, tmp_path: Path, data_stays: bool, words: str
) -> None:
    """Whose books do not balance: the logs are wanted, and were promised."""
    screen.kept(Installation(tmp_path, "rest"), "cus_1", "prd_1", data_stays=data_stays)
    assert output.getvalue().splitlines()[-1] == words


def test_the_table_tells_of_every_part_of_the_story() -> None:
    """Produced, billed, parked, receipts, copies, restart, limits, counters, times: each with its numbers."""
    facts = {heading: {words: number for number, words in rows} for heading, rows in sections(shown())}
    assert list(facts) == [
        "produced", "billed", "dead", "receipts", "copies", "restart", "limits", "counters", "seconds",
    ]  # fmt: skip
    assert facts["dead"] == {"dead letters, and 1 written again after the restart": "1", "expired": "1"}
    assert facts["receipts"]["source offsets listed as duplicate"] == "1"
    assert facts["limits"]["questions while meter was away"] == "1"


def test_a_partition_that_is_not_committed_to_its_end_is_waited_for() -> None:
    """Lag 0 alone is not believed: the commit itself must stand at the end of what was produced."""
    at_the_end = {"partitions": [{"partition": 0, "committed": 7, "lag": 0}]}
    assert Seen(0, at_the_end, answers=True).has_committed({0: 7})
    assert not Seen(0, at_the_end, answers=True).has_committed({0: 8})
    assert not Seen(0, at_the_end, answers=True).has_committed({0: 7, 1: 0})
    assert not Seen(0, at_the_end, answers=False).has_committed({0: 7})
