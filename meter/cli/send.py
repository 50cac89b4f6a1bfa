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
from meter.errors import UserMistake

if TYPE_CHECKING:  # decoding and aiokafka are loaded when the command runs
    from meter.cli.event_lines import BrokenLine, EventLines
    from meter.settings import KafkaSettings

LISTED = 20


def send(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON lines, one event each; - reads stdin.")],
    topic: Annotated[str | None, typer.Option(help="Another topic than kafka.topic.")] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Send the lines that are not broken.")] = False,
    config: ConfigOption = None,
) -> None:
    """Send events from a file; the Kafka key is the customer."""
    from meter.cli.event_lines import EventLines

    kafka = read_settings(config).kafka
    if topic is not None:
        kafka = kafka.model_copy(update={"topic": _topic(topic)})
    with _opened(file) as content:
        lines = EventLines(content, kafka.topic, time.time())
        broken, good = lines.check()
        if broken:
            _list_broken(broken, file)
        if broken and not skip_broken:
            raise UserMistake(f"nothing was sent; mend the lines, or send the other {good:,} with --skip-broken")
        sent, seconds = _send(kafka, lines, good)
    skipped = f"; broken lines skipped: {len(broken):,}" if broken else ""
    typer.echo(f"sent {sent:,} events to {kafka.topic} in {seconds:.1f} s{skipped}")


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
        content = Path(file).open("rb")  # noqa: SIM115 - the error of opening is ours to name, that of reading is not
    except OSError as error:
        raise UserMistake(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None
    with content:
        yield content


def _list_broken(broken: "list[BrokenLine]", file: str) -> None:
    name = "stdin" if file == "-" else file
    for line in broken[:LISTED]:
        typer.echo(f"{name}:{line.number}: {line.reason}: {line.detail}", err=True)
    if len(broken) > LISTED:
        typer.echo(f"... and {len(broken) - LISTED:,} more broken lines", err=True)


def _send(kafka: "KafkaSettings", lines: "EventLines", count: int) -> tuple[int, float]:
    from rich.console import Console
    from rich.progress import Progress

    from meter.cli.event_producer import produce

    started = time.monotonic()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("sending", total=count)
        sent = asyncio.run(produce(kafka, lines.good(), lambda done: progress.update(bar, completed=done)))
    return sent, time.monotonic() - started
