"""Ctrl-C in the middle of sending: what to do next is said before the command ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def going_on_by(advice: str) -> Iterator[None]:
    """An interruption inside is followed by this advice on stderr, and goes on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {advice}", err=True)
        raise
