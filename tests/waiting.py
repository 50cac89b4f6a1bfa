"""How a test waits for something that happens elsewhere: it asks again and again, up to a limit that it names."""

import asyncio
import gc
import inspect
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

import pytest

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.05


@overload
async def eventually(condition: Callable[[], Awaitable[T]], limit_seconds: float, what: str) -> T: ...
@overload
async def eventually(condition: Callable[[], T], limit_seconds: float, what: str) -> T: ...
async def eventually(condition: Callable[[], object], limit_seconds: float, what: str) -> object:
    """Return the first truthy value of `condition`, asked again after 5 ms, later every 50 ms.

    `condition` may be sync or async. Fails the test with `what` and the last value (or that the condition did
    not answer) once `limit_seconds` have passed; an exception of the condition goes through.
    """
    deadline = time.monotonic() + limit_seconds
    last: object = "no answer yet"
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            try:
                # a condition that hangs must not outlast the limit either
                answer = await asyncio.wait_for(answer, max(deadline - time.monotonic(), LONGEST_PAUSE_SECONDS))
            except TimeoutError:
                pytest.fail(f"after {limit_seconds:g} s still not: {what} (the condition hangs; before: {last!r})")
        if answer:
            return answer
        last = answer
        if time.monotonic() >= deadline:
            pytest.fail(f"after {limit_seconds:g} s still not: {what} (last value: {last!r})")
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


async def disconnected(server: str) -> None:
    """Return when no connection of this process to `server` (`host:port`) is open any more.

    A TLS connection says goodbye after its `close`, in its own time; a test that ends before leaves a socket behind.
    """
    port = int(server.rpartition(":")[2])
    await eventually(lambda: not _connections_to(port), 30, f"no connection to {server}")


def _connections_to(port: int) -> list[socket.socket]:
    return [found for found in gc.get_objects() if type(found) is socket.socket and _peer_port(found) == port]


def _peer_port(connection: socket.socket) -> int | None:
    """None when it is closed or not connected."""
    try:
        return int(connection.getpeername()[1])
    except (OSError, IndexError):
        return None
