"""Which dead letters a command means: options that `list` and `redrive` share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.moments import span_of
from meter.errors import UserMistake

if TYPE_CHECKING:  # see meter/cli/configuration.py
    from meter.accounting.letters import Filter

ReasonOption = Annotated[
    list[str] | None,
    typer.Option("--reason", help="Only this reason; `invalid` means every `invalid:...`. Repeatable."),
]
CustomerOption = Annotated[
    list[str] | None, typer.Option("--customer", help="Only events of this customer. Repeatable.")
]


def check_origin(text: str) -> None:
    """Raises `UserMistake` for what can be the place of no record."""
    from meter.pipeline.place import place_of

    if place_of(text) is None:
        raise UserMistake(
            f"{text!r} is not a valid ORIGIN: use topic:partition:offset, as `dead-letters list` prints it"
        )


def letter_filter(
    origins: Sequence[str],
    reasons: Sequence[str] | None,
    customers: Sequence[str] | None,
    since: str | None,
    until: str | None,
    *,
    open_only: bool = False,
) -> "Filter":
    """The filter; raises `UserMistake` for a time that is none, and for an origin that can be none."""
    from meter.accounting.letters import Filter

    for origin in origins:
        check_origin(origin)
    since_seconds, until_seconds = span_of(since, until)
    return Filter(
        origins=frozenset(origins),
        reasons=frozenset(reasons or ()),
        customers=frozenset(customers or ()),
        since_seconds=since_seconds,
        until_seconds=until_seconds,
        open_only=open_only,
    )
