"""Moments on the command line: `--from` and `--to`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from meter.errors import UserMistake

FORM = "ISO 8601, like 2026-01-31T12:00:00Z; without a zone it is UTC."
SinceOption = Annotated[str | None, typer.Option("--from", metavar="TIME", help=f"From this time on: {FORM}")]
UntilOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help=f"Before this time: {FORM}")]


def seconds_of(text: str | None, option: str) -> float | None:
    """The moment as Unix seconds; raises `UserMistake` for what is none."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserMistake(f"{option} {text!r} is no time: {FORM}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
