"""One request to the daemon as its handlers see it, and their answer: the least that ASGI needs.

Product services ask for limits all the time, on the core that bills; a web framework's objects and layers cost more
than the whole answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from meter.error_bodies import error_body, invalid_body

MAX_BODY_BYTES = 65_536
_BODY_SECONDS = 10.0
"""A body that has not arrived by then never will; meanwhile it takes a connection."""

_JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
Headers = Iterable[tuple[bytes, bytes]]


class Response(NamedTuple):
    """A whole answer; its length is said when it is sent. Names of headers are in lower case."""

    status: int
    body: bytes
    headers: Headers

    async def send(self, send: Send) -> None:
        """To the caller."""
        headers = [*self.headers, (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def as_json(body: Mapping[str, Any], status: int = 200, headers: Headers = ()) -> Response:
    """An answer that nobody keeps."""
    return Response(status, msgspec.json.encode(body), (*_JSON, *headers))


class RefusedError(Exception):
    """The request is wrong; `response` says how, in the provider's form."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.response = as_json(error_body(status, message), status, headers)


class InvalidError(RefusedError):
    """400 in the form of the provider's validation: field -> what is wrong with it."""

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__(400, "Validation failed")
        self.response = as_json(invalid_body(faults), 400)


class GoneError(Exception):
    """The caller went away in the middle of his request."""


class Request:
    """What was sent; its body is read when it is asked for."""

    __slots__ = ("_receive", "_scope", "method", "path")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]

    @property
    def raw_path(self) -> bytes:
        """The path as it was sent: `%2F` belongs to a name, `/` does not."""
        return self._scope.get("raw_path") or self.path.encode()

    def query(self) -> dict[str, str]:
        """The parameters; of several with one name the last."""
        query_string: bytes = self._scope["query_string"]
        return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)) if query_string else {}

    def header(self, name: bytes) -> bytes:
        """The first header of that name in lower case; empty when there is none."""
        return next((value for found, value in self._scope["headers"] if found == name), b"")

    async def json_object(self) -> Mapping[str, Any]:
        """The body. Raises RefusedError for anything else than a JSON object, GoneError."""
        try:
            value = msgspec.json.decode(await self._body())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RefusedError(400, "The body is not valid JSON") from None
        if not isinstance(value, dict):
            raise RefusedError(400, "The body must be a JSON object")
        return value

    async def _body(self) -> bytes:
        """The whole body, never more than `MAX_BODY_BYTES` of it in memory."""
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                more = True
                while more:
                    piece, more = await self._piece()
                    body += piece
                    if len(body) > MAX_BODY_BYTES:
                        raise RefusedError(413, f"The body is larger than {MAX_BODY_BYTES} bytes", _CLOSE)
        except TimeoutError:
            raise RefusedError(408, "The body did not arrive in time", _CLOSE) from None
        return bytes(body)

    async def _piece(self) -> tuple[bytes, bool]:
        """What has come of the body since, and whether there is more."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        return message.get("body", b""), message.get("more_body", False)


_CLOSE = ((b"connection", b"close"),)

Handler = Callable[[Request], Awaitable[Response]]
