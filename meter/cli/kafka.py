"""`meter kafka`: Apache Kafka itself on this machine, until Ctrl-C."""

import asyncio
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import typer

from meter.errors import CommandFailed, UserMistake

if TYPE_CHECKING:
    from meter.localkafka import LocalKafka

PARTITIONS = 4
"""Of a topic that does not say."""


class Wanted(NamedTuple):
    """A topic that is to be there."""

    name: str
    partitions: int


def kafka(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the broker on 127.0.0.1.")] = 9092,
    data: Annotated[
        Path | None, typer.Option(help="Folder for topics and records; without it they are deleted on exit.")
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            metavar="NAME[:PARTITIONS]",
            help=f"Create this topic if it is missing, with {PARTITIONS} partitions by default. Repeatable.",
        ),
    ] = None,
) -> None:
    """Run Apache Kafka on this machine: one node, for development and experiments.

    Downloads Kafka once (44 MB). Ctrl-C stops it.
    """
    from meter.localkafka import LocalKafka

    wanted = [wanted_topic(text) for text in topic or ()]
    try:
        with _signals_interrupt(), LocalKafka(port=port, data=data.absolute() if data else None) as broker:
            made = asyncio.run(_make(broker.bootstrap_servers, wanted))
            typer.echo(_welcome(broker, made, kept=data is not None))
            broker.wait()
            raise CommandFailed(f"Kafka stopped unexpectedly; the end of its log:\n{broker.log_tail()}")
    except KeyboardInterrupt:
        typer.echo("Stopped.")


def wanted_topic(text: str) -> Wanted:
    """What `--topic` asks for; raises `UserMistake`."""
    name, colon, partitions = text.partition(":")
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) or name in {".", ".."}:
        raise UserMistake(f"--topic {text!r}: a topic name may contain only letters, digits, '.', '_' and '-'")
    if colon and not (re.fullmatch(r"[0-9]{1,5}", partitions) and int(partitions)):
        raise UserMistake(
            f"--topic {text!r}: after the name, only a number of partitions may follow, e.g. {name}:{PARTITIONS}"
        )
    return Wanted(name, int(partitions or PARTITIONS))


async def _make(servers: str, wanted: Sequence[Wanted]) -> list[Wanted]:
    """The topics, each with the partitions that it has now."""
    from meter.kafka.topics import ensure_source
    from meter.settings import KafkaSettings

    return [
        Wanted(name, await ensure_source(KafkaSettings(bootstrap_servers=servers, topic=name), partitions))
        for name, partitions in wanted
    ]


def _welcome(broker: "LocalKafka", topics: Sequence[Wanted], *, kept: bool) -> str:
    named = "".join(f"topic: {name}, {partitions} partitions\n" for name, partitions in topics)
    return (
        f"Kafka answers at {broker.bootstrap_servers}\n"
        f"{named}"
        f"data: {broker.data}{'' if kept else ' (deleted on exit; keep it with --data FOLDER)'}\n"
        f"log:  {broker.log_file}\n"
        f"Ctrl-C stops it."
    )


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does; so does SIGINT where a script's `&` has switched it off."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
