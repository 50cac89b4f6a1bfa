"""Serves the sandbox over HTTP on this machine, with connections that faults can reset."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from meter.sandbox.app import Sandbox
from meter.sandbox.faults.connections import CUT

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for zero seconds: the peer sees a reset, not an orderly end
_GRACE_SECONDS = 1


class CannotListenError(Exception):
    """The address cannot be listened on; says why in one sentence."""


class _Protocol(H11Protocol):
    """An HTTP connection that tells the application how to reset it.

    On h11, which answers an offer of HTTP/2 in HTTP/1.1; uvicorn's quicker parser loses the body that follows one.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn itself
        super().connection_made(transport)
        self.app = _with_cut(self.app, transport)


def _with_cut(app: ASGIApp, transport: asyncio.Transport) -> ASGIApp:
    def cut() -> None:
        if transport.is_closing():  # the client was faster, or the server stops
            return
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[CUT] = cut
        await app(scope, receive, send)

    return serve


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: who starts the server decides when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises CannotListenError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CannotListenError(f"cannot listen on {host} port {port}: {reason}") from error


def address(listening: socket.socket) -> str:
    """The base URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(sandbox: Sandbox, listening: socket.socket, stop: asyncio.Event) -> None:
    """Serve on a listening socket until `stop` is set; returns when the last connection is closed."""
    config = uvicorn.Config(
        sandbox,
        http=_Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,  # a header must not make a stranger local
        server_header=False,
        timeout_graceful_shutdown=5 * _GRACE_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    working = asyncio.create_task(sandbox.work())
    try:
        await asyncio.wait({serving, stopping, working}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        working.cancel()
        sandbox.stopping.set()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=_GRACE_SECONDS)
        for connection in list(server.server_state.connections):
            connection.transport.abort()  # a client that is still sending, or not reading
        await serving
        with suppress(asyncio.CancelledError):
            await working


@asynccontextmanager
async def running(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve in the background of the block; gives the base URL."""
    listening = listen(host, port)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(sandbox, listening, stop))
    try:
        yield address(listening)
    finally:
        stop.set()
        await serving
