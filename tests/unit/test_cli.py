"""What the commands print, without a process: the first screen and the words for what was found."""

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from meter.accounting.letters import Case, read_letter
from meter.accounting.redrive import REDRIVEN, Fate
from meter.cli import app
from meter.cli.dead_letter_topic import table
from meter.cli.letter_filter import letter_filter
from meter.cli.limits import described
from meter.cli.moments import span_of
from meter.cli.park import whole_origins
from meter.cli.printable import printable, printable_bytes, printable_page
from meter.cli.redrive import described as of_redrive
from meter.cli.sending import going_on_by
from meter.cli.status_page import invariant, refused_lines
from meter.errors import UserMistake
from meter.pipeline.place import Place


def test_the_help_names_every_command_in_its_group() -> None:
    """The first screen: what it is, three groups, an example."""
    text = CliRunner().invoke(app, ["--help"]).output
    for words in ("Usage events from Kafka", "Run it", "Try it", "Look into it", "Example", "meter demo"):
        assert words in text
    for command in ("run", "check-config", "kafka", "sandbox", "send", "status", "limits", "call", "dead-letters"):
        assert f"│ {command}" in text


def test_a_status_that_does_not_add_up_says_so() -> None:
    """The line is an equation only when it is true."""
    assert "5 consumed IS NOT 1 accepted" in invariant({"consumed": 5, "accepted": 1})


def test_unlimited_and_policy_answers_are_named_as_such() -> None:
    """999999 is the provider's word for unlimited; a policy answer has no age."""
    now = datetime(2026, 11, 23, tzinfo=UTC)
    unlimited = described("c", "p", {"withinLimits": True, "remaining": 999_999}, now)
    policy = described("c", "p", {"withinLimits": False, "remaining": 0, "meter": {"source": "policy"}}, now)
    assert unlimited[0] == "c may go on with p: unlimited"
    assert policy == [
        "c must stop with p: how much is left is unknown",
        "  policy: limits.on_unavailable decides, because there is neither provider nor snapshot",
    ]


def test_what_others_wrote_cannot_steer_the_terminal_nor_pass_for_a_line_of_ours() -> None:
    """Whatever is in a record, what is shown is printable, and one line where one is meant."""
    assert (
        printable_bytes(b"\xff\x00\x1b[31mok\xc3\xa9\nmeter-at: now") == "\\xff\\x00\\x1b[31mok\u00e9\\nmeter-at: now"
    )
    assert printable("a\u202eb\r") == "a\\u202eb\\r"
    assert printable_page(b"{\n\t1\x1b}") == "{\n\t1\\x1b}"


def test_a_list_of_dead_letters_has_a_line_for_each_whatever_their_keys_are() -> None:
    """Line ends and control characters of a key stand escaped, and the columns hold."""
    letter = read_letter(Place("d", 0, 0), [("meter-origin", b"t:0:0"), ("meter-key", b"k\n\x1b[2J")], None)
    header, line, *_ = table([Case(letter)])
    assert "k\\n\\x1b[2J" in line.split()
    assert header.index("KEY") == line.index("k\\n")


def test_a_dry_run_of_a_redrive_shows_first_what_would_go() -> None:
    """However many there are that would not."""
    stay = [Fate(f"t:0:{number}", "", "rejected", "already_redriven") for number in range(30)]
    first, *_, last = of_redrive([*stay, Fate("t:0:99", "", "rejected", REDRIVEN)], dry_run=True)
    assert first == "t:0:99  rejected  would be redriven"
    assert last == "skipped, already_redriven: 30"


def test_a_span_of_time_has_a_beginning_before_its_end() -> None:
    """Turned round it would hold nothing, and an audit of nothing finds nothing wrong."""
    assert span_of("2026-01-31", "2026-01-31T00:00:01Z") == (1769817600.0, 1769817601.0)
    assert span_of("1960-01-01", None) == (0.0, None)
    assert span_of(None, None) == (None, None)
    for since, until in (("2026-02-01", "2026-01-31"), ("2026-01-31", "2026-01-31"), ("2026-01-31", "1960-01-01")):
        with pytest.raises(UserMistake, match=f"--from {since} is not before --to {until}"):
            span_of(since, until)
    with pytest.raises(UserMistake, match="--to 'tomorrow' is not a valid time: ISO 8601"):
        span_of(None, "tomorrow")


def test_an_origin_that_can_be_none_is_a_mistake() -> None:
    """And not a filter that nothing fits."""
    with pytest.raises(UserMistake, match="'order-17' is not a valid ORIGIN: use topic:partition:offset"):
        letter_filter(["t:0:1", "order-17"], None, None, None, None)


def test_whoever_interrupts_is_told_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, and the interruption goes on."""
    with pytest.raises(KeyboardInterrupt), going_on_by("run it again"):
        raise KeyboardInterrupt
    assert capsys.readouterr() == ("", "interrupted; run it again\n")


def test_what_was_refused_is_shown_with_its_place_and_the_providers_words() -> None:
    """So that an operator knows what would be parked, and by which name."""
    first = [{"origin": f"0:{offset}", "reason": "rejected", "detail": "no"} for offset in range(4)]
    shown = [str(line) for line in refused_lines({"events": 7, "first": first})]
    assert shown == [
        "refused  7 held until another event is accepted, or they are parked:",
        *(f"  0:{offset}  rejected: no" for offset in range(3)),
        "  and 4 more",
    ]
    assert list(refused_lines({"events": 0, "first": []})) == []
    assert list(refused_lines({})) == []


def test_an_origin_to_park_may_leave_out_the_topic() -> None:
    """`meter status` does; another topic's is a mistake."""
    assert whole_origins(["3:41", "t:0:1"], "t") == ["t:3:41", "t:0:1"]
    for wrong in ("other:0:1", "3", "t:3", "order-17"):
        with pytest.raises(UserMistake, match="is not a valid ORIGIN: use t:partition:offset"):
            whole_origins([wrong], "t")
