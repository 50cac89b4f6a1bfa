"""One connection to the provider, written so that no byte leaves it late.

A body that is half written when the lease ends, or the process is stopped, must never become complete: another
replica bills those events meanwhile. Transports of asyncio (and all that is built on them) take the rest of a body
into a buffer and write it whenever the loop turns again, also minutes later, and closing them delivers what the kernel
holds. So this file writes to the socket itself: nothing waits in user space, permission is asked in the same loop step
directly before every write, and `abort` makes the kernel forget what it has not sent yet.
"""

import asyncio
import contextlib
import socket
import ssl
import struct

from meter.billing.reply import Reply
from meter.billing.sending import Sending
from meter.errors import Unavailable

_READ_BYTES = 65536
_FIRST_BYTES = 8192
_LINGER_ZERO = struct.pack("ii", 1, 0)
_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Wire:
    """One open connection; carries one request at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._read_needs_write = False
        self.idle_since_seconds = 0.0

    async def exchange(self, head: bytes, body: bytes, sending: Sending) -> Reply:
        """Write a request as long as `sending` allows, and read the reply; one that comes early ends the writing.

        `sending.complete` tells afterwards whether the whole request has left. Whatever is raised (Unavailable,
        cancellation), the connection has been aborted. Use it again only if the reply says `keep_alive`.
        """
        reply = Reply()
        # the head never travels alone, and the body is not copied
        unsent = [memoryview(head + body[:_FIRST_BYTES]), memoryview(body)[_FIRST_BYTES:]]
        try:
            while not reply.complete:
                self._push(unsent, sending, reply)
                sending.complete = not unsent
                if not reply.complete:
                    await self._ready(writing=bool(unsent) or self._read_needs_write)
                    self._pull(reply)
        except BaseException:
            self.abort()
            raise
        if unsent:  # an early answer; what is left of the body is of no use
            reply.keep_alive = False
            self.abort()
        elif not reply.keep_alive:
            self.close()
        return reply

    async def handshake(self, context: ssl.SSLContext, host: str) -> None:
        """Turn the connection into TLS. Raises ssl.SSLError, OSError."""
        secured = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = secured
        while True:
            try:
                return secured.do_handshake()
            except ssl.SSLWantReadError:
                await self._ready(writing=False)
            except ssl.SSLWantWriteError:
                await self._ready(writing=True)

    def usable(self) -> bool:
        """Whether an idle connection is still open and silent, as it should be."""
        try:
            self._socket.recv(1)
        except _BLOCKED:
            return True
        except OSError:
            return False
        return False

    def abort(self) -> None:
        """End it so that nothing that the kernel still holds is delivered (a reset, not a graceful close)."""
        with contextlib.suppress(OSError):  # the other side may have ended it already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.close()

    def close(self) -> None:
        """Close an idle connection."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _push(self, unsent: list[memoryview], sending: Sending, reply: Reply) -> None:
        """Write what the kernel takes now, and take it off `unsent`."""
        while unsent:
            if not unsent[0]:
                unsent.pop(0)
                continue
            if not sending.allowed():
                raise Unavailable("not allowed to send any more")
            try:
                unsent[0] = unsent[0][self._socket.send(unsent[0]) :]
            except _BLOCKED:
                break
            except OSError as error:
                # a server that refuses a body answers first and then closes: the answer says more than the reset
                self._pull(reply)
                if not reply.complete:
                    raise Unavailable(f"the connection broke: {error.strerror}") from error
                break

    def _pull(self, reply: Reply) -> None:
        self._read_needs_write = False
        while not reply.complete:
            try:
                data = self._socket.recv(_READ_BYTES)
            except ssl.SSLWantWriteError:
                self._read_needs_write = True
                return
            except _BLOCKED:
                return
            except OSError as error:
                raise Unavailable(f"the connection broke: {error.strerror}") from error
            if data:
                reply.feed(data)
            else:
                reply.end()

    async def _ready(self, *, writing: bool) -> None:
        """Wait until there is something to read or, if `writing`, room to write."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        descriptor = self._socket.fileno()
        loop.add_reader(descriptor, _wake, woken)
        if writing:
            loop.add_writer(descriptor, _wake, woken)
        try:
            await woken
        finally:
            loop.remove_reader(descriptor)
            if writing:
                loop.remove_writer(descriptor)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
