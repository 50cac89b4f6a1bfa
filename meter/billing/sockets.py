"""The connections to the billing provider: kept alive, and each request handed to one of them once."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from itertools import zip_longest

import httpx

from meter.billing.exchange import Origin
from meter.billing.reply import Reply
from meter.billing.sending import Sending
from meter.billing.wire import Wire
from meter.errors import NotConnected

# Node closes idle connections after 5 s; a request that meets such a close has an unknown outcome, so stay below
IDLE_SECONDS = 4.0
MAX_IDLE = 16
MAX_ADDRESSES = 4


class Sockets:
    """HTTP/1.1 over connections that abort; follows no redirects, uses no proxy, sends nothing twice.

    `timeout_seconds` is how long the kernel may try to deliver what it was given; the deadline of a request is its
    caller's (cancellation aborts the connection).
    """

    def __init__(
        self, timeout_seconds: float, connect_timeout_seconds: float, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._ssl_context = ssl_context
        self._idle: dict[Origin, list[Wire]] = {}

    async def exchange(self, origin: Origin, head: bytes, body: bytes, sending: Sending) -> Reply:
        """Send one request; raises NotConnected, Unavailable."""
        sending.complete = False
        wire = self._idle_wire(origin) or await self._open(origin)
        reply = await wire.exchange(head, body, sending)
        if reply.keep_alive:
            self._keep(origin, wire)
        return reply

    async def close(self) -> None:
        """Close what is idle; requests under way go on."""
        for wires in self._idle.values():
            for wire in wires:
                wire.close()
        self._idle.clear()

    def _idle_wire(self, origin: Origin) -> Wire | None:
        wires = self._idle.get(origin, [])
        while wires:
            wire = wires.pop()
            if time.monotonic() - wire.idle_since_seconds < IDLE_SECONDS and wire.usable():
                return wire
            wire.close()
        return None

    def _keep(self, origin: Origin, wire: Wire) -> None:
        wires = self._idle.setdefault(origin, [])
        wire.idle_since_seconds = time.monotonic()
        wires.append(wire)
        if len(wires) > MAX_IDLE:
            wires.pop(0).close()

    async def _open(self, origin: Origin) -> Wire:
        host, port = origin.host, origin.port or (443 if origin.scheme == "https" else 80)
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                wire = Wire(await self._connect(host, port))
                return await self._secure(wire, host) if origin.scheme == "https" else wire
        except TimeoutError as error:
            raise NotConnected(f"no connection to {host}:{port}") from error
        except (OSError, UnicodeError) as error:
            raise NotConnected(f"no connection to {host}:{port}: {_reason(error)}") from error

    async def _secure(self, wire: Wire, host: str) -> Wire:
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        try:
            await wire.handshake(self._ssl_context, host)
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _connect(self, host: str, port: int) -> socket.socket:
        """The first address that accepts; each gets an equal share of the time. Raises OSError, TimeoutError."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = _alternating([(family, address) for family, _, _, _, address in found])[:MAX_ADDRESSES]
        failure: OSError = OSError("no address")
        for family, address in addresses:
            try:
                async with asyncio.timeout(self._connect_timeout_seconds / len(addresses)):
                    return await self._connect_to(family, address)
            except OSError as error:  # TimeoutError is one, too
                failure = error
        raise failure

    async def _connect_to(self, family: int, address: tuple[object, ...]) -> socket.socket:
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(AttributeError):  # Linux only
                milliseconds = int(self._timeout_seconds * 1000)
                connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            await asyncio.get_running_loop().sock_connect(connecting, address)
        except BaseException:
            connecting.close()
            raise
        return connecting


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, socket.gaierror | ssl.SSLError):  # these have numbers of their own
        return error.strerror or type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _alternating(addresses: list[tuple[int, tuple[object, ...]]]) -> list[tuple[int, tuple[object, ...]]]:
    """IPv6 and IPv4 in turn, the resolver's first choice first, so that one broken family costs one try."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for pair in zip_longest(first, others) for address in pair if address is not None]
