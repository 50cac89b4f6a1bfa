"""The smallest provider: takes every bulk call, counts distinct keys, answers limits: `python -m bench.sink PORT`.

It runs beside the broker on the other core, so it must cost little; but it does parse every body it is sent.
`GET /totals` tells what it has counted.
"""

import asyncio
import gc
import sys
from collections.abc import Mapping
from typing import Protocol, cast

import msgspec

REFERENCE = "usg_00000000000000000000"
LIMITS = {"withinLimits": True, "remaining": 1_000_000, "meterName": "requests", "plan": "pln_bench", "plans": []}


class _Event(msgspec.Struct, gc=False):
    idempotencyKey: str  # noqa: N815  # the provider's own spelling


class _Bulk(msgspec.Struct, gc=False):
    events: list[_Event]


class Totals(msgspec.Struct):
    """What the sink has counted."""

    keys: int = 0
    events: int = 0
    requests: int = 0
    limits: int = 0


class Sink:
    """All answers are ready before they are asked for."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._keys: set[str] = set()
        self._read = msgspec.json.Decoder(_Bulk).decode
        self._accepted: dict[int, bytes] = {}
        self._limits = _response(LIMITS)

    def answer(self, request_line: bytes, body: bytes) -> bytes:
        """The whole response to one request."""
        if request_line.startswith(b"POST /v1/sdk/usages/bulk "):
            return self._bulk(body)
        if request_line.startswith(b"POST /v1/sdk/limits "):
            self.totals.limits += 1
            return self._limits
        return _response(msgspec.to_builtins(self.totals))

    def _bulk(self, body: bytes) -> bytes:
        events = self._read(body).events
        self._keys.update([event.idempotencyKey for event in events])
        self.totals.requests += 1
        self.totals.events += len(events)
        self.totals.keys = len(self._keys)
        if len(events) not in self._accepted:
            results = [{"reference": REFERENCE}] * len(events)
            self._accepted[len(events)] = _response({"success": True, "inserted": len(events), "results": results})
        return self._accepted[len(events)]


class Answering(Protocol):
    """Anything that has an answer ready."""

    def answer(self, request_line: bytes, body: bytes, /) -> bytes:
        """The whole response to one request."""


class Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length, one request at a time."""

    def __init__(self, sink: Answering) -> None:
        self._sink = sink
        self._pieces: list[bytes] = []
        self._missing_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        if self._missing_bytes > len(data):
            self._missing_bytes -= len(data)
            return
        request = b"".join(self._pieces)
        head, separator, body = request.partition(b"\r\n\r\n")
        self._missing_bytes = _content_bytes(head) - len(body) if separator else 0
        if not separator or self._missing_bytes:
            self._pieces = [request]
            return
        self._pieces = []
        self._transport.write(self._sink.answer(head, body))


def _content_bytes(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _response(body: Mapping[str, object]) -> bytes:
    encoded = msgspec.json.encode(body)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(encoded) + encoded


async def serve(port: int) -> None:
    """Until the process is told to end."""
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(sink), "127.0.0.1", port)
    gc.freeze()
    gc.set_threshold(50_000)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
