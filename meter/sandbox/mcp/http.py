"""The tools at `/mcp`: Streamable HTTP without sessions, one JSON answer for each POST."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from meter.sandbox.faults.connections import Client, Cut
from meter.sandbox.mcp.arguments import Caller
from meter.sandbox.mcp.server import Fate, Tools
from meter.sandbox.rest.authentication import authenticate
from meter.sandbox.rest.calls import Answer
from meter.sandbox.rest.errors import ProviderError

UNAUTHORIZED, INTERNAL = -32001, -32603
_MAX_BODY_BYTES = 2**30  # as much as REST takes: what is too much is for faults to say


class McpEndpoint:
    """An ASGI application for one path. `key` is the only one accepted (None: any); `now` tells Unix seconds;
    `count` is called for each request."""

    def __init__(self, tools: Tools, key: str | None, now: Callable[[], float], count: Callable[[], None]) -> None:
        self._tools = tools
        self._key = key
        self._now = now
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        self._count()
        if request.method != "POST":
            response = Response(status_code=405, headers={"allow": "POST"})
        else:
            try:
                environment = authenticate(request.headers, self._key)
                response = await self._exchange(request, Caller(environment, self._now(), request.headers))
            except ProviderError as error:
                response = _refused(error)
            except ClientDisconnect:
                return
        await response(scope, receive, send)

    async def _exchange(self, request: Request, caller: Caller) -> Response:
        """What the SDK answers, unless a fault decides otherwise."""
        body = await request.body()
        fates: list[Fate] = []
        server = self._tools.serve(lambda: caller, Client(request), fates.append)
        answer = await _answered(server, request.scope, body)
        return _fated(fates[0]) if fates else answer


async def _answered(server: Server[Any], scope: Scope, body: bytes) -> Response:
    """The SDK's answer to one request, whole: in a session of its own, which ends with it."""
    sent: list[Message] = []
    unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not unread:
            await asyncio.Event().wait()  # a client that leaves does not stop what it has begun, as over REST
        return unread.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=_MAX_BODY_BYTES
    )
    async with manager.run():
        await manager.handle_request(scope, receive, send)
    start, *parts = sent
    response = Response(b"".join(part.get("body", b"") for part in parts), start["status"])
    response.raw_headers = list(start["headers"])
    return response


def _fated(fate: Fate) -> Response:
    match fate:
        case ProviderError():
            return _refused(fate)
        case Answer():
            return Response(fate.body, fate.status, media_type="application/json")
        case _:
            return Cut()


def _refused(error: ProviderError) -> Response:
    """An answer below the protocol: the status, and a JSON-RPC error that belongs to no request."""
    headers = dict(error.headers)
    problem: dict[str, object] = {"code": INTERNAL, "message": error.message}
    if error.status == 401:
        problem = {"code": UNAUTHORIZED, "message": "Unauthorized"}
        headers["www-authenticate"] = f'Bearer error="invalid_token", error_description="{error.message}"'
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": None, "error": problem})
    return Response(body, error.status, headers, media_type="application/json")
