"""Values that stand twice because their layers may not know each other, or so that commands start at once."""

from typing import get_args

from meter.cli.limits import UNLIMITED
from meter.cli.park import REFUSALS
from meter.limits import promise
from meter.pipeline import refusals, retry
from meter.settings import options


def test_who_hands_over_waits_as_long_as_a_retry_after_an_unknown_outcome() -> None:
    """Invariant 4: the settings may not know the pipeline, nor the pipeline the settings."""
    assert options.UNKNOWN_OUTCOME_WAIT_SECONDS == retry.UNKNOWN_OUTCOME_PAUSE_SECONDS


def test_park_takes_every_reason_of_a_refusal() -> None:
    """The command shows them in its help, and `meter --help` loads no pipeline."""
    assert get_args(refusals.Reason) == REFUSALS


def test_the_limits_command_knows_what_unlimited_is() -> None:
    """It shows the word for the number."""
    assert promise.UNLIMITED == UNLIMITED
