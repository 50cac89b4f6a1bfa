"""`meter sandbox`: the billing provider in a box, on this machine."""

import asyncio
import os
import signal
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.configuration import ConfigOption, config_file
from meter.cli.run import stopped_by_signals
from meter.errors import UserMistake

if TYPE_CHECKING:
    from meter.sandbox.app import Sandbox
    from meter.sandbox.faults.fault_list import Fault
    from meter.sandbox.store import Store

_WELCOME = """\
The billing provider's sandbox listens at {address} (data: {data}; key: {key}; faults: {faults}).
  record usage   POST {address}/v1/sdk/usages  or  /v1/sdk/usages/bulk
  limits         POST {address}/v1/sdk/limits
  tools for MCP  {address}/mcp
  what happened  GET  {address}/sandbox/totals  or  /sandbox/usages?after=0&limit=100
  start over     POST {address}/sandbox/reset
  make it fail   PUT  {address}/sandbox/faults   (GET shows them, DELETE ends them)
  create things  POST {address}/sandbox/customers  or  /sandbox/products  or  /sandbox/purchases
Ctrl-C stops it."""


def sandbox(
    host: Annotated[
        str, typer.Option(help="Address to listen on; the controls answer only this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.", min=0, max=65535)] = 8484,
    data: Annotated[Path | None, typer.Option(help="SQLite file to keep everything in; by default, memory.")] = None,
    key: Annotated[str | None, typer.Option(help="The only secret key to accept; by default, any.")] = None,
    demo_data: Annotated[bool, typer.Option("--demo-data", help="Start with the provider's example data.")] = False,
    faults: Annotated[Path | None, typer.Option(help="File with a JSON list of faults to start with.")] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Also serve the MCP tools on stdin and stdout.")] = False,
    config: ConfigOption = None,
) -> None:
    r"""A local copy of the billing provider, to develop and test against.

    Where the provider's behaviour is unknown, the \[sandbox] section of the configuration chooses it.
    """
    if key is not None and not key.strip():
        raise UserMistake("--key must not be empty; without it any key is accepted")
    first_faults = _read_faults(faults) if faults else []
    store, box = _open(data, key, first_faults, config, demo_data=demo_data)
    with closing(store), _listen(host, port) as listening:
        if stdio:  # what waits for stdin cannot be interrupted, so signals end us at once; the store survives that
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        kept = f"{data or 'in memory'}{', demo data' if demo_data else ''}"
        welcome = _welcome(listening, kept, "the one given" if key else "any", len(first_faults))
        typer.echo(welcome, err=stdio)  # on stdout a client reads nothing but its protocol
        asyncio.run(_for_a_client(box, listening, key) if stdio else _until_stopped(box, listening))


def _open(
    data: Path | None, key: str | None, faults: "list[Fault]", config: Path | None, *, demo_data: bool
) -> "tuple[Store, Sandbox]":
    from meter.sandbox.app import Sandbox
    from meter.sandbox.demo_data.world import NotEmptyError
    from meter.sandbox.knobs import BadKnobsError, read_knobs
    from meter.sandbox.store import CannotOpenError, Store

    try:
        knobs = read_knobs(config_file(config), os.environ)
        store = Store(data, knobs.counting, knobs.key_life_seconds or None)
        return store, Sandbox(store, key=key, faults=faults, knobs=knobs, demo_data=demo_data)
    except (BadKnobsError, CannotOpenError, NotEmptyError) as error:
        raise UserMistake(str(error)) from error


def _listen(host: str, port: int) -> socket.socket:
    from meter.sandbox.server import CannotListenError, listen

    try:
        return listen(host, port)
    except CannotListenError as error:
        raise UserMistake(str(error)) from error


def _welcome(listening: socket.socket, data: str, key: str, faults: int) -> str:
    from meter.sandbox.server import address

    return _WELCOME.format(address=address(listening), data=data, key=key, faults=faults or "none")


async def _until_stopped(sandbox: "Sandbox", listening: socket.socket) -> None:
    from meter.sandbox.server import serve

    stop = asyncio.Event()
    with stopped_by_signals(stop):
        await serve(sandbox, listening, stop)


async def _for_a_client(sandbox: "Sandbox", listening: socket.socket, key: str | None) -> None:
    """Serve HTTP for as long as a client talks to us on stdin and stdout."""
    from meter.sandbox.mcp.stdio import serve_stdio
    from meter.sandbox.server import address, serve

    stop = asyncio.Event()
    serving = asyncio.create_task(serve(sandbox, listening, stop))
    key = key or os.environ.get("SOLVAPAY_SECRET_KEY", "")
    try:
        await serve_stdio(sandbox.tool_server(key, address(listening).removeprefix("http://")))
    finally:
        stop.set()
        await serving


def _read_faults(path: Path) -> "list[Fault]":
    from meter.sandbox.faults.fault_list import BadFaultsError, read_faults

    try:
        return read_faults(path.read_bytes())
    except OSError as error:
        raise UserMistake(f"cannot read the faults in {path}: {error.strerror}") from error
    except BadFaultsError as error:
        raise UserMistake(f"{path}: {error}") from error
