"""What commands that send records share: how fast, only for show, and what to do after Ctrl-C."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")]
PerSecondOption = Annotated[
    float | None, typer.Option("--per-second", min=0.01, help="Send at most this many events per second.")
]


@contextmanager
def going_on_by(advice: str) -> Iterator[None]:
    """An interruption inside is followed by this advice on stderr, and goes on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {advice}", err=True)
        raise
