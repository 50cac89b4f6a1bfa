"""What the commands print, without a process: the first screen and the words for what was found."""

from datetime import UTC, datetime

from typer.testing import CliRunner

from meter.cli import app
from meter.cli.dead_letters import as_text
from meter.cli.limits import described
from meter.cli.status_page import invariant


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
        "c must stop with p: 0 left",
        "  policy: by policy, because there is neither provider nor snapshot",
    ]


def test_bytes_of_a_dead_letter_cannot_steer_the_terminal() -> None:
    """Whatever is in a record, what is shown is printable."""
    assert as_text(b"\xff\x00\x1b[31mok\xc3\xa9") == "\\xff\\x00\\x1b[31mok\u00e9"
