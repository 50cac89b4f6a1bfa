"""`meter status`: what the running daemon is doing; live on a terminal, once when piped."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.errors import CommandFailed

if TYPE_CHECKING:  # rich and httpx are loaded when the command runs
    from rich.console import Console, RenderableType

    from meter.cli.running import Daemon

REFRESH_SECONDS = 1.0
EVENT_ENDS = ("accepted", "duplicate", "dead_lettered", "released", "held")


def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    watch: Annotated[
        bool | None, typer.Option("--watch/--once", help="Go on until Ctrl-C; the default on a terminal.")
    ] = None,
) -> None:
    """Show what the running daemon is doing: events, partitions, billing."""
    from rich.console import Console

    from meter.cli.running import Daemon

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
    ready = daemon.get("/readyz", also=503)
    reasons = ready.get("reasons") or []
    return {**daemon.get("/status"), "ready": not reasons, "reasons": reasons}


def _watch(daemon: "Daemon", console: "Console") -> None:
    """A daemon that goes away stays on the screen as such: it may be restarting."""
    from rich.live import Live

    try:
        with Live(page(daemon.address, _ask(daemon)), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_SECONDS)
                try:
                    live.update(page(daemon.address, _ask(daemon)), refresh=True)
                except CommandFailed as error:
                    live.update(str(error), refresh=True)
    except KeyboardInterrupt:
        return  # Ctrl-C is how one leaves


def page(address: str, answer: Mapping[str, Any]) -> "RenderableType":
    """The whole answer; every number stands beside its name, so that nothing needs colour."""
    from rich.console import Group
    from rich.text import Text

    billing: Mapping[str, Any] = answer.get("billing") or {}
    state = "ready" if answer.get("ready") else "not ready"
    lines = [Text(f"meter at {address}: {state}", style="bold")]
    lines += [Text(f"  because {reason}", style="yellow") for reason in answer.get("reasons") or []]
    why = f" ({billing['reason']})" if billing.get("reason") else ""
    lines.append(Text(f"billing  {billing.get('state', 'unknown')}{why}"))
    lines.append(Text(invariant_line(answer.get("events") or {})))
    return Group(*lines, _partitions(answer.get("partitions") or []))


def invariant_line(events: Mapping[str, Any]) -> str:
    """`consumed = accepted + duplicate + dead-lettered + released + held`, with what is true right now."""
    parts = [f"{int(events.get(end) or 0):,} {end.replace('_', '-')}" for end in EVENT_ENDS]
    consumed = int(events.get("consumed") or 0)
    holds = consumed == sum(int(events.get(end) or 0) for end in EVENT_ENDS)
    return f"events   {consumed:,} consumed {'=' if holds else 'IS NOT'} {' + '.join(parts)}"


def _partitions(rows: list[Mapping[str, Any]]) -> "RenderableType":
    from rich.table import Table

    if not rows:
        return "no partitions are assigned"
    columns = ("partition", "position", "committed", "end", "lag")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: int(row.get("partition") or 0)):
        table.add_row(*("-" if row.get(column) is None else f"{row[column]}" for column in columns))
    return table
