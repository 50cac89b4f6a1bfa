"""Answers of the sandbox's application that are none, and what it knows of the client while it waits."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meter.sandbox.faults.striker import ConnectionCutError

CUT = "meter.sandbox.cut"
"""Under this name the server puts a function that resets the connection into the scope."""


class Silence(Response):
    """No answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do nothing."""
        return


class Cut(Response):
    """No answer, and the connection reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset it. Raises ConnectionCutError where there is no server that can."""
        cut = scope.get("extensions", {}).get(CUT)
        if cut is None:
            raise ConnectionCutError
        cut()
        while (await receive())["type"] != "http.disconnect":
            pass  # the server must have noticed before we return without an answer


class Client:
    """The client of one request, whose body has been read."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def gone(self) -> None:
        """Return once the client has closed or lost the connection."""
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


class Pipe:
    """A client that is not on HTTP, and so is there for as long as the server is."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping

    async def gone(self) -> None:
        """Return once the server stops."""
        await self._stopping.wait()
