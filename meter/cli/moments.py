"""Moments on the command line: `--from` and `--to`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from meter.errors import UserMistake

FORM = "ISO 8601, e.g. 2026-01-31T12:00:00Z; UTC if no zone is given."
SinceOption = Annotated[str | None, typer.Option("--from", metavar="TIME", help=f"At or after this time: {FORM}")]
UntilOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help=f"Before this time: {FORM}")]


def span_of(since: str | None, until: str | None) -> tuple[float | None, float | None]:
    """Both as Unix seconds, None where not given; raises `UserMistake` for an invalid time or span.

    Kafka knows no time before 1970: there everything begins.
    """
    first, end = _seconds_of(since, "--from"), _seconds_of(until, "--to")
    if first is not None and end is not None and first >= end:
        raise UserMistake(f"--from {since} is not before --to {until}")
    return first, end


def _seconds_of(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise UserMistake(f"{option} {text!r} is not a valid time: {FORM}") from None
