"""One HTTP connection with bounds that uvicorn itself does not set: how many, how long a head, how slow a request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 1000
MAX_HEAD_BYTES = 65_536
MAX_REQUEST_BYTES = 524_288
"""Head, body and trailers; the application refuses a body long before, but nobody else counts trailers."""
REQUEST_SECONDS = 15.0
"""From its first byte (or from connecting) to its last a request may take this long."""


class BoundedConnection(HttpToolsProtocol):
    """Closed without an answer when it breaks a bound: whoever does that reads none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_bytes = 0
        self._reads_head = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Accept, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """The timer goes with it."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, as long as the request is not too long."""
        if self._request_bytes > (MAX_HEAD_BYTES if self._reads_head else MAX_REQUEST_BYTES):
            self.transport.abort()
            return
        self._request_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reads_head, self._request_bytes = True, 0
        self._arm()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is read; its body has its own bound in the application."""
        self._reads_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has arrived; the answer may take its time."""
        self._disarm()
        self._reads_head, self._request_bytes = True, 0
        super().on_message_complete()

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()
