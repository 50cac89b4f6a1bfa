"""A way to the broker that can become silent, barren or closed to commits: what stalls a client without an error.

    async with proxied(broker.bootstrap_servers, topic) as way:
        meter = await place.start_meter(kafka__bootstrap_servers=way.servers)
        way.starve()

It knows of Kafka's protocol how requests and answers are framed, which of them name the broker's address (there it
puts its own, so that clients stay on this way), and how a fetch asks for records.
"""

import asyncio
import contextlib
import io
import re
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from aiokafka.protocol import fetch

FETCH, METADATA, COMMIT, COORDINATOR = 1, 3, 8, 10
FETCHES = {one.API_VERSION: one for name, one in vars(fetch).items() if re.fullmatch(r"FetchRequest_v\d+", name)}
HEAD = struct.Struct(">hhih")
"""API, its version, correlation id, length of the client's name."""
BARREN_ANSWER_SECONDS = 0.25
"""So long a broker waits for records that do not come, as meter asks it to."""

Struck = Callable[["_Connection"], bool]


class KafkaProxy:
    """Passes everything on until it is told otherwise; counts how many fetches it has left without records."""

    def __init__(self, servers: str, topic: str) -> None:
        self.barren_fetches = 0
        self.held_commits = 0
        self.servers = ""
        self._topic = topic
        self._broker_port = int(servers.rpartition(":")[2])
        self._connections: list[_Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._barren: Struck = lambda _: False
        self._silent: Struck = lambda _: False
        self._commits_pass = asyncio.Event()
        self._commits_pass.set()

    def starve(self, *, for_ever: bool) -> None:
        """Fetches of the topic are answered, but without records: of the clients of now, or of all to come as well."""
        self._barren = self._everyone if for_ever else self._those_of_now()

    def fall_silent(self) -> None:
        """Whoever fetches records of the topic now gets no answer to that nor to anything on that connection."""
        self._silent = self._those_of_now()

    def hold_commits(self) -> None:
        """Commits get no further than this, nor what comes after one on its connection."""
        self._commits_pass.clear()

    def let_commits_pass(self) -> None:
        """Those that were held, and all to come."""
        self._commits_pass.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until either side has enough."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(deque())
        self._connections.append(connection)
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        pumps = [
            asyncio.create_task(self._requests(connection, reader, broker_writer)),
            asyncio.create_task(self._answers(connection, broker_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.close()
            broker_writer.close()
            self._tasks.discard(task)

    async def close(self) -> None:
        """Cut all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _requests(
        self, connection: "_Connection", client: asyncio.StreamReader, broker: asyncio.StreamWriter
    ) -> None:
        async for frame in _frames(client):
            api, version, *_ = HEAD.unpack_from(frame)
            if api == FETCH and self._asks_for_records(frame):
                if self._silent(connection):
                    await asyncio.Event().wait()
                if self._barren(connection):
                    await asyncio.sleep(BARREN_ANSWER_SECONDS)
                    frame = _without_topics(frame, version)
                    self.barren_fetches += 1
            if api == COMMIT and not self._commits_pass.is_set():
                self.held_commits += 1
                await self._commits_pass.wait()
            connection.asked.append(api)
            await _write(broker, frame)

    async def _answers(
        self, connection: "_Connection", broker: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        async for frame in _frames(broker):
            if connection.asked.popleft() in {METADATA, COORDINATOR}:
                frame = frame.replace(_address(self._broker_port), _address(int(self.servers.rpartition(":")[2])))
            await _write(client, frame)

    def _asks_for_records(self, frame: bytes) -> bool:
        return struct.pack(">h", len(self._topic)) + self._topic.encode() in frame

    def _those_of_now(self) -> Struck:
        here = set(map(id, self._connections))
        return lambda connection: id(connection) in here

    def _everyone(self, _: "_Connection") -> bool:
        return True


class _Connection(NamedTuple):
    """Which APIs the client has asked for without an answer so far, in order: answers come in that order."""

    asked: "deque[int]"


def _without_topics(frame: bytes, version: int) -> bytes:
    """The same fetch, of nothing."""
    body_at = HEAD.size + max(HEAD.unpack_from(frame)[3], 0)
    schema = FETCHES[version].SCHEMA
    names = schema.names
    values = dict(zip(names, schema.decode(io.BytesIO(frame[body_at:])), strict=True)) | {"topics": []}
    encoded: bytes = schema.encode([values[name] for name in names])
    return frame[:body_at] + encoded


def _address(port: int) -> bytes:
    """As answers name a broker: host with its length, port."""
    return struct.pack(">h", 9) + b"127.0.0.1" + struct.pack(">i", port)


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            yield await reader.readexactly(size)


async def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)
    await writer.drain()


@contextlib.asynccontextmanager
async def proxied(servers: str, topic: str) -> AsyncIterator[KafkaProxy]:
    """A way to the broker at `servers` on a free port of 127.0.0.1, for as long as the block lasts."""
    proxy = KafkaProxy(servers, topic)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.servers = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
