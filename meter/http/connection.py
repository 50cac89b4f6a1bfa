"""One HTTP connection with bounds that uvicorn itself does not set: how many, how long a head, how slow a caller."""

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from meter.http.plain_connection import NotServedError, PlainConnection

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

MAX_CONNECTIONS = 1000
MAX_HEAD_BYTES = 65_536
MAX_REQUEST_BYTES = 524_288
"""Head, body and trailers; the application refuses a body long before, but nobody else counts trailers."""
MAX_PIPELINED = 16
"""Requests that wait for the answer to the one before; each costs 2 kB, however short it is."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for zero seconds: the system, too, drops what is not read


class Patience(NamedTuple):
    """How long a caller may take; together no connection lives longer than its requests."""

    request_seconds: float = 15.0
    """From its first byte (or from connecting, or from any byte that begins none) to its last."""
    reading_seconds: float = 15.0
    """An answer that is too large for what the system keeps for him, or the last one."""
    idle_seconds: float = 60.0
    """Between an answer and the next request."""


class BoundedConnection(PlainConnection):
    """Closed without an answer when it breaks a bound: whoever does that reads none."""

    def __init__(self, patience: Patience, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timeout_keep_alive = patience.idle_seconds  # type: ignore[assignment]  # call_later takes a float
        self._patience = patience
        self._request_bytes = 0
        self._reads_head = True
        self._running: RequestResponseCycle | None = None
        self._answering: asyncio.Task[None] | None = None
        self._requesting: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Accept, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._abort()
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """The timers go with it."""
        self._leave()
        self._disarm()
        self._has_read()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, as long as the request is not too long."""
        if self._request_bytes > (MAX_HEAD_BYTES if self._reads_head else MAX_REQUEST_BYTES):
            self._abort()
            return
        self._request_bytes += len(data)
        super().data_received(data)
        if self._requesting is None and not self._is_answering():
            self._arm()  # an empty line, say: it ended the idle time without beginning a request

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reads_head, self._request_bytes = True, 0
        self._arm()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is read; its body has its own bound in the application."""
        self._reads_head = False
        if len(self.pipeline) >= MAX_PIPELINED:
            self._abort()
            raise NotServedError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has arrived; the answer may take its time."""
        self._disarm()
        self._reads_head, self._request_bytes = True, 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The caller does not read as fast as he is answered."""
        super().pause_writing()
        self._must_read()

    def resume_writing(self) -> None:
        """He has caught up."""
        self._has_read()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Answered; after the last answer the connection ends as soon as it is read."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._must_read()

    def send_400_response(self, msg: str) -> None:
        """Not HTTP: the last answer, too."""
        super().send_400_response(msg)
        self._must_read()

    def timeout_keep_alive_handler(self) -> None:
        """Idle for so long; what he has not read by now he never will, and a gentle end would wait for that."""
        self._abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._running = cycle
        self._answering = self.loop.create_task(cycle.run_asgi(_until_left(app, cycle)))
        self._answering.add_done_callback(self.tasks.discard)
        self.tasks.add(self._answering)

    def _abort(self) -> None:
        self._leave()
        self.transport.abort()

    def _leave(self) -> None:
        """Nobody listens any more: who is answering need not go on."""
        if self._running is not None and self._answering is not None:
            self._running.disconnected = True
            self._answering.cancel()

    def _is_answering(self) -> bool:
        last: RequestResponseCycle | None = self.cycle
        return bool(self.pipeline) or (last is not None and not last.response_complete)

    def _arm(self) -> None:
        self._disarm()
        self._requesting = self.loop.call_later(self._patience.request_seconds, self._abort)

    def _disarm(self) -> None:
        if self._requesting is not None:
            self._requesting.cancel()
            self._requesting = None

    def _must_read(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(self._patience.reading_seconds, self._reset)

    def _reset(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._abort()

    def _has_read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


def _until_left(app: "ASGI3Application", cycle: RequestResponseCycle) -> "ASGI3Application":
    """The application, ended without a word when its caller has left."""

    async def answer(scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if not cycle.disconnected:
                raise

    return answer
