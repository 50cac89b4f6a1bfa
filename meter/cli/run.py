"""`meter run`: the daemon in the foreground, until a signal asks it to stop."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from meter.cli.configuration import ConfigOption, read_settings
from meter.errors import MeterError

if TYPE_CHECKING:  # see meter/cli/configuration.py
    from meter.settings import Settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(config: ConfigOption = None) -> None:
    """Bill the events of the topic. Logs to stderr; stops cleanly on Ctrl-C or SIGTERM."""
    settings = read_settings(config, needs_secret_key=True)
    from meter import logs
    from meter.settings.options import secret_values

    logs.configure(settings.log, secret_values(settings))
    raise typer.Exit(run_to_the_end(lambda: _until_stopped(settings)))


def run_to_the_end(body: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """The exit code of `body`; 1 when it raises what nobody planned for. Our own errors go through."""
    import structlog

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(body())
    except MeterError:
        raise
    except Exception:
        # The process ends and redelivery is the recovery; the reason belongs in the log, where secrets are masked.
        structlog.get_logger().exception("crashed")
        return 1


async def _until_stopped(settings: "Settings") -> int:
    from meter import daemon

    stop = asyncio.Event()
    with stopped_by_signals(stop):
        return await daemon.run(settings, stop)


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """uvloop where it is installed (it has no wheels for Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """The first SIGTERM or SIGINT sets `stop`; a second one ends the process at once. Restored afterwards."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def first() -> None:
        stop.set()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, _end_at_once)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, first)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    # Not the default action: the kernel ignores that for process 1, which is what we are in a container.
    os._exit(128 + number)
