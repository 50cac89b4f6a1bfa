"""`meter dead-letters`: what could never be billed, read from its topic; copies of one origin count once."""

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.errors import CommandFailed

if TYPE_CHECKING:  # aiokafka and rich are loaded when a command runs
    from meter.cli.dead_letter_topic import DeadLetter
    from meter.settings import KafkaSettings

dead_letters = typer.Typer(no_args_is_help=True, help="List or show the events that could never be billed.")


@dead_letters.command("list")
def list_dead_letters(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every dead letter once, with its reason."""
    kafka = read_settings(config).kafka
    letters = _read(kafka)
    if as_json:
        typer.echo(json.dumps([letter.summary() for letter in letters or ()]))
    elif letters is None:
        typer.echo(f"no dead letters: there is no topic {kafka.dead_letter_topic}")
    elif not letters:
        typer.echo(f"no dead letters in {kafka.dead_letter_topic}")
    else:
        _print_table(letters)


@dead_letters.command("show")
def show_dead_letter(
    origin: Annotated[str, typer.Argument(help="topic:partition:offset, as `list` prints it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter whole: headers, key and value."""
    kafka = read_settings(config).kafka
    letters = _read(kafka, origin)
    if not letters:
        raise CommandFailed(f"no dead letter with origin {origin} in {kafka.dead_letter_topic}")
    letter = letters[0]
    if as_json:
        typer.echo(json.dumps(letter.whole()))
        return
    for name, value in letter.headers:
        typer.echo(f"{name}: {as_text(value)}")
    typer.echo(f"key: {'(none)' if letter.key is None else as_text(letter.key)}")
    typer.echo(f"copies: {letter.copies}")
    typer.echo("")
    typer.echo("(no value)" if letter.value is None else as_text(letter.value))


def _read(kafka: "KafkaSettings", only: str | None = None) -> "list[DeadLetter] | None":
    from meter.cli.dead_letter_topic import read_topic

    return asyncio.run(read_topic(kafka, only))


def _print_table(letters: "list[DeadLetter]") -> None:
    """Plain columns: they can be read without colour, cut and grepped."""
    rows = [
        (one.origin, one.reason, *(one.header(f"meter-{name}") for name in ("key", "at", "detail"))) for one in letters
    ]
    rows.insert(0, ("ORIGIN", "REASON", "KEY", "AT", "DETAIL"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        typer.echo("  ".join([*cells, row[4]]).rstrip())
    typer.echo("")
    for reason, count in Counter(one.reason for one in letters).most_common():
        typer.echo(f"{count:>8,}  {reason}")
    typer.echo(f"{len(letters):>8,}  in all")


def as_text(value: bytes) -> str:
    """Any bytes as one printable text: what is not UTF-8 or steers a terminal is escaped."""
    text = value.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text)
