"""A provider that writes down every byte it gets, and that reads, answers and closes exactly as it is told."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

HEAD_END = b"\r\n\r\n"


@dataclass
class Connection:
    """What came over one connection, and how it ended: `closed`, `reset` or not at all."""

    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)
    end: str | None = None

    def body_bytes(self) -> tuple[int, int]:
        """Bytes of the (first) body that have come, and that were announced."""
        head_bytes = self.received.find(HEAD_END)
        announced = re.search(rb"content-length: (\d+)", self.received[: max(head_bytes, 0)].lower())
        return len(self.received) - head_bytes - len(HEAD_END), int(announced.group(1)) if announced else 0

    def has_requests(self, total: int) -> bool:
        """Whether that many whole requests have come, provided that they are all alike."""
        body, announced = self.body_bytes()
        head = len(self.received) - body
        return self.requests_total() >= total and len(self.received) >= total * (head + announced)

    def requests_total(self) -> int:
        """How many request heads have come."""
        return self.received.count(b"POST ")

    def is_given_up(self) -> bool:
        """Whether the sender's kernel has ended the connection, of which it need not tell us."""
        return not self._sender()

    def is_pressing(self) -> bool:
        """Whether the sender's kernel holds bytes that it cannot deliver."""
        return any(int(queues.partition(":")[0], 16) for queues in self._sender())

    def _sender(self) -> list[str]:
        """The queues (`sent:received`) of its end of the connection, as long as that is established."""
        port, established = f":{self.socket.getpeername()[1]:04X}", "01"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()]
        return [row[4] for row in rows if row[1].endswith(port) and row[3] == established]


class RecordingServer:
    """Accepts on a free port of 127.0.0.1 with a small receive buffer.

    It reads until it has `read_limit_bytes`, goes on when the limit is raised with `read_on`, and gives the next
    of `answers` whenever a request is complete; it closes the connection for an answer of None.
    """

    def __init__(self, read_limit_bytes: int = 1 << 40, answers: list[bytes | None] | None = None) -> None:
        self.connections: list[Connection] = []
        self.answers = answers or []
        self._read_limit_bytes = read_limit_bytes
        self._may_read = asyncio.Condition()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def read_on(self, read_limit_bytes: int = 1 << 40) -> None:
        """Read up to a new limit."""
        async with self._may_read:
            self._read_limit_bytes = read_limit_bytes
            self._may_read.notify_all()

    def ends(self) -> list[str | None]:
        """How the connections have ended, in the order in which they came."""
        return [connection.end for connection in self.connections]

    async def serve(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                accepted, _ = await loop.sock_accept(self._listener)
                self.connections.append(Connection(accepted))
                tasks.create_task(self._record(self.connections[-1]))

    def close(self) -> None:
        """Close everything."""
        self._listener.close()
        for connection in self.connections:
            connection.socket.close()

    async def _record(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        answered = 0
        try:
            while data := await self._read(connection):
                connection.received += data
                if not self.answers or not connection.has_requests(answered + 1):
                    continue
                answered += 1
                answer = self.answers.pop(0)
                if answer is None:
                    connection.socket.close()
                    return
                await loop.sock_sendall(connection.socket, answer)
            connection.end = "closed"
        except ConnectionResetError:
            connection.end = "reset"

    async def _read(self, connection: Connection) -> bytes:
        async with self._may_read:
            await self._may_read.wait_for(lambda: len(connection.received) < self._read_limit_bytes)
            room = self._read_limit_bytes - len(connection.received)
        return await asyncio.get_running_loop().sock_recv(connection.socket, min(room, 65536))


@contextlib.asynccontextmanager
async def running(server: RecordingServer) -> AsyncIterator[RecordingServer]:
    """Serve for as long as the block lasts."""
    serving = asyncio.create_task(server.serve())
    try:
        yield server
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        server.close()


def accepted(events_total: int, headers: bytes = b"", transport: str = "rest") -> bytes:
    """The provider's answer to a bulk call that worked."""
    results = b",".join(b'{"reference":"usage_%d"}' % index for index in range(events_total))
    body = b'{"success":true,"inserted":%d,"results":[%s]}' % (events_total, results)
    if transport == "mcp":
        body = b'{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":%s}}' % body
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), headers, body)
