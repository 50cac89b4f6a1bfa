"""`meter status`: what the running daemon is doing; live on a terminal, once when piped."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.errors import CommandFailed, UserMistake

if TYPE_CHECKING:  # rich and httpx are loaded when the command runs
    from rich.console import Console, RenderableType

    from meter.cli.running import Daemon

REFRESH_SECONDS = 1.0


def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    watch: Annotated[
        bool | None, typer.Option("--watch/--once", help="Keep refreshing until Ctrl-C; the default on a terminal.")
    ] = None,
) -> None:
    """Show what the running daemon is doing: events, partitions, billing."""
    from rich.console import Console

    from meter.cli.running import Daemon
    from meter.cli.status_page import page

    if as_json and watch:
        raise UserMistake("--json answers once: leave out --watch, or --json")
    console = Console(highlight=False)
    with Daemon(read_settings(config).http) as daemon:
        if as_json:
            typer.echo(json.dumps(_ask(daemon)))
        elif watch or (watch is None and console.is_terminal):
            _watch(daemon, console)
        else:
            console.print(page(daemon.address, _ask(daemon)), soft_wrap=True)


def _ask(daemon: "Daemon") -> dict[str, Any]:
    """`/status` with `ready` and `reasons` of `/readyz` beside it."""
    reasons = daemon.get("/readyz", also=503).get("reasons") or []
    return {**daemon.get("/status"), "ready": not reasons, "reasons": reasons}


def _watch(daemon: "Daemon", console: "Console") -> None:
    """Until Ctrl-C, which is how one leaves; where nothing can be drawn over, page after page."""
    from rich.live import Live

    pages = _Pages(daemon)
    with suppress(KeyboardInterrupt):
        if not console.is_terminal:
            console.print(pages.first(), soft_wrap=True)
            for following in _every_second(pages):
                console.print("", following, sep="\n", soft_wrap=True)
        with Live(pages.first(), console=console, auto_refresh=False) as live:
            for following in _every_second(pages):
                live.update(following, refresh=True)


def _every_second(pages: "_Pages") -> "Iterator[RenderableType]":
    while True:
        time.sleep(REFRESH_SECONDS)
        yield pages.following()


class _Pages:
    """One page after the other; from two of them comes the rate."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._consumed = 0
        self._at_seconds = 0.0

    def first(self) -> "RenderableType":
        """Raises `CommandFailed` when there is no daemon."""
        from meter.cli.status_page import page

        answer = _ask(self._daemon)
        self._rate(answer)
        return page(self._daemon.address, answer)

    def following(self) -> "RenderableType":
        """A daemon that has gone away stays on the screen as such: it may be restarting."""
        from meter.cli.status_page import page

        try:
            answer = _ask(self._daemon)
        except CommandFailed as error:
            return str(error)
        return page(self._daemon.address, answer, self._rate(answer))

    def _rate(self, answer: dict[str, Any]) -> float:
        """Events a second since the answer before; a daemon that was restarted counts from 0."""
        now, consumed = time.monotonic(), int((answer.get("events") or {}).get("consumed") or 0)
        rate = max(0, consumed - self._consumed) / max(now - self._at_seconds, 0.001)
        self._consumed, self._at_seconds = consumed, now
        return rate
