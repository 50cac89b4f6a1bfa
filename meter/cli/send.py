"""`meter send`: JSON lines into the topic; the whole file is checked before the first line is sent."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from meter.cli.configuration import ConfigOption, read_settings
from meter.cli.printable import printable
from meter.cli.sending import PerSecondOption
from meter.errors import UserMistake

if TYPE_CHECKING:  # decoding and aiokafka are loaded when the command runs
    from meter.cli.event_lines import BrokenLine, EventLines, Verdict
    from meter.settings import KafkaSettings

LISTED = 20


def send(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON lines, one event each; - reads stdin.")],
    topic: Annotated[str | None, typer.Option(help="Topic to use instead of kafka.topic.")] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Skip broken lines and send the others.")] = False,
    from_line: Annotated[
        int, typer.Option("--from-line", min=1, help="Start at this line: those before it were sent already.")
    ] = 1,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Identify lines without an id by this name and their number, not by the lines above."
        ),
    ] = None,
    per_second: PerSecondOption = None,
    config: ConfigOption = None,
) -> None:
    """Send events from a file; the Kafka key is the customer.

    A line of a file without an id is identified by its content and all lines above it. After an interruption, send the
    file again: each line is billed once. Use --name where content is not enough: for files that begin with the same
    lines, or whose lines are corrected later. Lines of stdin without an id are new events each time, unless --name
    identifies them.
    """
    from meter.cli.event_lines import EventLines

    kafka = read_settings(config).kafka
    if topic is not None:
        kafka = kafka.model_copy(update={"topic": _topic(topic)})
    if name == "":
        raise UserMistake("--name is empty: is a variable not set?")
    with _opened(file) as content:
        lines = EventLines(content, kafka.topic, time.time(), name or "", from_line, from_pipe=file == "-")
        found = lines.check()
        if from_line > lines.last + 1:  # one more is what an interrupted sending may tell
            raise UserMistake(f"--from-line {from_line}: {_shown(file)} ends with line {lines.last}")
        if found.broken:
            _list_broken(found.broken, file)
        if found.broken and not skip_broken:
            raise UserMistake(f"nothing was sent: fix the lines, or send the other {found.good:,} with --skip-broken")
        sent, seconds = _send(kafka, lines, found.good, per_second)
    events = "event" if sent == 1 else "events"
    skipped = f"; broken lines skipped: {len(found.broken):,}" if found.broken else ""
    typer.echo(f"sent {sent:,} {events} to {kafka.topic} in {seconds:.1f} s{skipped}")
    for note in _notes(found, name, from_pipe=file == "-"):
        typer.echo(note)


def _notes(found: "Verdict", name: str | None, *, from_pipe: bool) -> Iterator[str]:
    """How lines without an id will be known when they come again."""
    if not found.without_id:
        return
    if from_pipe and name is None:
        yield f"lines without an id: {found.without_id:,}, new events each time they are sent (--name identifies them)"
        return
    known_by = f"the name {name}, their number and content" if name else "their content and all lines above"
    yield f"lines without an id: {found.without_id:,}, identified by {known_by}"
    if found.broken and name is None:
        yield "fix broken lines in a separate file: fixing them in this one changes the ids of the lines below"


def _topic(name: str) -> str:
    from meter.settings import KafkaSettings

    try:
        return KafkaSettings(topic=name).topic
    except ValueError:  # pydantic's own error tells of the model instead of the option
        from meter.settings.load import allowed

        raise UserMistake(f"--topic {name!r} is not {allowed('kafka.topic')}") from None


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    """The file, or stdin spooled to a temporary one, since it is read twice."""
    if file == "-":
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
            yield spool
        return
    try:
        content = Path(file).open("rb")  # noqa: SIM115  # the error of opening is ours to name, that of reading is not
    except OSError as error:
        raise UserMistake(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None
    with content:
        yield content


def _shown(file: str) -> str:
    return "stdin" if file == "-" else file


def _list_broken(broken: "list[BrokenLine]", file: str) -> None:
    for line in broken[:LISTED]:
        typer.echo(printable(f"{_shown(file)}:{line.number}: {line.reason}: {line.detail}"), err=True)
    if len(broken) > LISTED:
        typer.echo(f"... and {len(broken) - LISTED:,} more broken lines", err=True)


def _send(kafka: "KafkaSettings", lines: "EventLines", count: int, per_second: float | None) -> tuple[int, float]:
    from meter.cli.event_producer import produce
    from meter.cli.progress import bars

    started, last_line = time.monotonic(), lines.first - 1
    with bars() as progress:

        def told(done: int, line: int) -> None:
            nonlocal last_line
            last_line = line
            progress("sending", done, count)

        try:
            sent = asyncio.run(produce(kafka, lines.good(), per_second, told))
        except KeyboardInterrupt:
            typer.echo(f"interrupted; continue with --from-line {last_line + 1}", err=True)
            raise
    return sent, time.monotonic() - started
