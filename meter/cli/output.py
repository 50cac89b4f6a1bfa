"""What a command answers on stdout: `--json` for programs, words for everybody else."""

import json
from collections.abc import Iterable

import typer

from meter.cli.printable import printable


def show(answer: object, lines: Iterable[str], *, as_json: bool) -> None:
    """One of the two; a line may quote what others have written."""
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for line in lines:
        typer.echo(printable(line))
