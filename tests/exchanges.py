"""Connections of a billing that need no network: the very bytes of each request, handed to an httpx transport."""

import httpx

from meter.billing.exchange import Origin
from meter.billing.reply import Reply
from meter.billing.sending import Sending
from meter.errors import Unavailable

_FRAMING = frozenset({"content-length", "transfer-encoding", "content-encoding"})


class InProcess:
    """Behind `transport` is whatever answers: an application, or a function of the test."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def exchange(self, origin: Origin, head: bytes, body: bytes, _: Sending) -> Reply:
        """As `Sockets`, which it does not tell how much was sent."""
        try:
            response = await self._transport.handle_async_request(_request(origin, head, body))
            await response.aread()
        except httpx.HTTPError as error:
            raise Unavailable(str(error)) from error
        return _reply(response)

    async def close(self) -> None:
        """Nothing is open."""


def _request(origin: Origin, head: bytes, body: bytes) -> httpx.Request:
    """What a server would read."""
    opening, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, path, version = opening.split(b" ")
    assert version == b"HTTP/1.1"
    headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    host = dict(headers)[b"Host"].decode("ascii")
    url = f"{origin.scheme}://{host}{path.decode('ascii')}"
    assert httpx.URL(url).raw_host.decode("ascii") == origin.host
    return httpx.Request(method.decode("ascii"), url, headers=headers, content=body)


def _reply(response: httpx.Response) -> Reply:
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _FRAMING]
    lines = [f"{name}: {value}" for name, value in [*headers, ("content-length", str(len(response.content)))]]
    reply = Reply()
    reply.feed("\r\n".join([f"HTTP/1.1 {response.status_code} -", *lines, "\r\n"]).encode("latin-1"))
    reply.feed(response.content)
    return reply
