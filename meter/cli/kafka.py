"""`meter kafka`: Apache Kafka itself on this machine, until Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from meter.errors import CommandFailed

if TYPE_CHECKING:
    from meter.localkafka import LocalKafka


def kafka(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the broker on 127.0.0.1.")] = 9092,
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps topics and records; without it they go at the end.")
    ] = None,
) -> None:
    """Run Apache Kafka on this machine: one node, for development and for trying things out.

    Downloads it once (44 MB). Ctrl-C ends it in order.
    """
    from meter.localkafka import LocalKafka

    try:
        with _signals_interrupt(), LocalKafka(port=port, data=data.absolute() if data else None) as broker:
            typer.echo(_welcome(broker, kept=data is not None))
            broker.wait()
            raise CommandFailed(f"Kafka has ended by itself; the end of its log:\n{broker.log_tail()}")
    except KeyboardInterrupt:
        typer.echo("Stopped.")


def _welcome(broker: "LocalKafka", *, kept: bool) -> str:
    return (
        f"Kafka answers at {broker.bootstrap_servers}\n"
        f"data: {broker.data}{'' if kept else ' (deleted at the end; keep it with --data FOLDER)'}\n"
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
