"""Serves the daemon's HTTP in the worker's own event loop, so that an answer sees the counters of this moment."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from meter.errors import UserMistake
from meter.http.connection import BoundedConnection, Patience

_PATIENCE = Patience()
_GRACE_SECONDS = 5
_BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A listening address, taken before anything else is started; port 0 takes a free one.

    Raises UserMistake when it is in use, not of this machine, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise UserMistake(f"http.host {host!r} is not an address of this machine") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise UserMistake(_sentence(error, host, port)) from None
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def serve(app: ASGIApp, host: str, port: int, patience: Patience = _PATIENCE) -> AsyncIterator[int]:
    """Serve `app` as long as the block runs; gives the port. UserMistake as `listen`."""
    async with serve_on(app, listen(host, port), patience) as bound:
        yield bound


@asynccontextmanager
async def serve_on(app: ASGIApp, sock: socket.socket, patience: Patience = _PATIENCE) -> AsyncIterator[int]:
    """Serve `app` on a socket of `listen`; at the end requests under way get their answers, for 5 seconds.

    Leaves signals alone: who starts the process decides how it ends.
    """
    server = uvicorn.Server(_config(app, patience))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    port: int = sock.getsockname()[1]
    await server.startup(sockets=[sock])
    ticking = asyncio.create_task(server.main_loop(), name="http")
    try:
        yield port
    finally:
        server.should_exit = True
        ticking.cancel()
        await asyncio.wait((ticking,))
        await server.shutdown(sockets=[sock])
        for connection in list(server.server_state.connections):
            connection.transport.abort()  # whoever has not read his answer by now


def _config(app: ASGIApp, patience: Patience) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(BoundedConnection, patience)),  # only ever called
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # below it says one line per bad request, which anyone can send
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _sentence(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another program; choose another one with http.port"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs rights that this user does not have; choose another one with http.port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"http.host {host!r} is not an address of this machine"
    return f"cannot listen on {host}:{port}: {error.strerror}"
