"""The daemon's HTTP server on a real socket."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest

from meter.errors import UserMistake
from meter.http.api import build
from meter.http.connection import MAX_CONNECTIONS, MAX_HEAD_BYTES, MAX_PIPELINED, Patience
from meter.http.server import listen, serve
from meter.limits import Answer, Question
from tests.builders import NOBODY_PARKS
from tests.waiting import eventually


class Limits:
    """Answers once it is let go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.given_up = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def answer(self, question: Question) -> Answer:
        self.asked.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return Answer(200, {"remaining": 1, "for": question.customer}, "fresh")


class Probe:
    """A daemon in good health."""

    def status(self) -> Mapping[str, Any]:
        return {"events": {}}

    def reasons(self) -> list[str]:
        return []

    def alive(self) -> bool:
        return True


def app(limits: Limits | None = None) -> Any:
    return build(limits or Limits(), Probe(), lambda: b"meter_up 1\n", None, NOBODY_PARKS)


async def _is_served(port: int) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
        except httpx.TransportError:
            return False


async def _write_headers(writer: asyncio.StreamWriter, size_bytes: int) -> None:
    for _ in range(0, size_bytes, 4096):
        writer.write(b"x-filler: " + b"x" * 4084 + b"\r\n")
        await writer.drain()


async def test_it_serves_in_this_loop_on_a_port_of_its_own_choice() -> None:
    """Port 0 takes a free one and says which."""
    async with serve(app(), "127.0.0.1", 0) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/v1/limits/cus%2F1/prd_1")
        assert answer.json()["for"] == "cus/1"


async def test_a_port_in_use_is_one_clear_sentence() -> None:
    """The user reads what is wrong and which option mends it."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserMistake, match=rf"port {port} on 127.0.0.1 is in use .* http.port"):
            listen("127.0.0.1", port)


async def test_a_host_that_is_not_ours_is_one_clear_sentence() -> None:
    """An address of another machine (TEST-NET-1) cannot be listened on."""
    with pytest.raises(UserMistake, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0)


async def test_signals_stay_with_who_started_the_process() -> None:
    """uvicorn installs no handlers: SIGTERM drains the worker first, HTTP goes last."""
    before = signal.getsignal(signal.SIGTERM)
    async with serve(app(), "127.0.0.1", 0):
        assert signal.getsignal(signal.SIGTERM) is before


async def test_a_request_under_way_gets_its_answer_while_the_server_closes() -> None:
    """Graceful close: no caller is cut off."""
    limits = Limits()
    limits.go.clear()
    async with httpx.AsyncClient() as client:
        async with serve(app(limits), "127.0.0.1", 0) as port:
            asking = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/v1/limits/cus_1/prd_1"))
            await limits.asked.wait()
            asyncio.get_running_loop().call_later(0.05, limits.go.set)
        assert (await asking).json()["for"] == "cus_1"


async def test_after_the_end_nobody_listens() -> None:
    """The port is free for the next process at once."""
    async with serve(app(), "127.0.0.1", 0) as port:
        pass
    listen("127.0.0.1", port).close()


Connect = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects to a port of 127.0.0.1; whatever is still open at the end is closed, when a test fails as well."""
    with contextlib.ExitStack() as opened:

        async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            opened.callback(writer.close)
            return reader, writer

        yield connected


async def test_a_head_without_end_is_cut_off(connect: Connect) -> None:
    """Bounded memory: headers count too."""
    async with serve(app(), "127.0.0.1", 0) as port:
        reader, writer = await connect(port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        with contextlib.suppress(ConnectionError):
            await _write_headers(writer, 20 * MAX_HEAD_BYTES)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_connections_are_bounded_and_come_free_again(connect: Connect) -> None:
    """One too many is closed at once; those who are connected are served."""
    async with serve(app(), "127.0.0.1", 0) as port, contextlib.AsyncExitStack() as idle:
        for _ in range(MAX_CONNECTIONS):
            _, writer = await connect(port)
            idle.callback(writer.close)
        reader, one_too_many = await connect(port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        one_too_many.close()
        await idle.aclose()
        await eventually(lambda: _is_served(port), 60, "a new connection is served")


REQUEST = b"GET /v1/limits/cus_1/prd_1 HTTP/1.1\r\nhost: x\r\n\r\n"


async def _is_cut_off(reader: asyncio.StreamReader) -> bool:
    """Reads all that comes until the connection ends; fails when it does not end."""
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass
    return True


async def test_who_hangs_up_is_not_answered(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """Callers who come and go leave no work behind, and nothing in the log."""
    limits = Limits()
    limits.go.clear()
    async with serve(app(limits), "127.0.0.1", 0) as port:
        _, writer = await connect(port)
        writer.write(REQUEST)
        await limits.asked.wait()
        writer.close()
        await asyncio.wait_for(limits.given_up.wait(), 30)
    assert caplog.records == []


@pytest.mark.parametrize("is_quick", [True, False])
async def test_requests_ahead_of_their_answers_are_bounded(
    connect: Connect, is_quick: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody fills the memory, or the log, with requests that he sends without waiting."""
    limits = Limits()
    if not is_quick:
        limits.go.clear()
    async with serve(app(limits), "127.0.0.1", 0) as port:
        reader, writer = await connect(port)
        writer.write(REQUEST * 5_000)
        assert await _is_cut_off(reader)
        limits.go.set()
        writer.close()
    assert caplog.records == []


async def test_a_few_requests_ahead_are_answered_in_order(connect: Connect) -> None:
    """Pipelining as HTTP/1.1 has it."""
    async with serve(app(), "127.0.0.1", 0) as port:
        reader, writer = await connect(port)
        named = [b"GET /v1/limits/cus_%d/prd_1 HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(MAX_PIPELINED)]
        writer.write(b"".join(named))
        for number in range(MAX_PIPELINED):
            assert f'"cus_{number}"'.encode() in await asyncio.wait_for(reader.readuntil(b"}"), 30)
        writer.close()


async def test_an_empty_line_does_not_make_a_connection_live_for_ever(connect: Connect) -> None:
    """It ends the idle time, and begins no request."""
    async with serve(app(), "127.0.0.1", 0, Patience(request_seconds=0.05)) as port:
        reader, writer = await connect(port)
        writer.write(REQUEST)
        await reader.readuntil(b"}")
        writer.write(b"\r\n")
        assert await _is_cut_off(reader)
        writer.close()


@pytest.mark.parametrize("ending", [b"", b"connection: close\r\n"])
async def test_who_never_reads_his_answers_is_cut_off(ending: bytes) -> None:
    """Whether he asks on or wanted to be the last: what he does not read does not keep the connection."""
    large = build(Limits(), Probe(), lambda: b"x" * 20_000_000, None, NOBODY_PARKS)
    async with serve(large, "127.0.0.1", 0, Patience(reading_seconds=0.05)) as port:
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n" + ending + b"\r\n")
            await eventually(lambda: _is_reset(caller), 60, "he is cut off")


def _is_reset(caller: socket.socket) -> bool:
    """Without reading: the system knows that the other side is gone."""
    return bool(caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


@pytest.mark.parametrize("pieces", [1, 60])
async def test_an_offer_of_http_2_is_answered_in_http_1(connect: Connect, pieces: int) -> None:
    """Java's own client makes one with every request; body and connection are as without it."""
    body = b'{"customerRef": "cus_1", "productRef": "prd_1"}'
    offer = (
        b"POST /v1/sdk/limits HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: x\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    async with serve(app(), "127.0.0.1", 0) as port:
        reader, writer = await connect(port)
        sent = (offer + body) * 2 + REQUEST
        for start in range(0, len(sent), -(-len(sent) // pieces)):
            writer.write(sent[start : start + -(-len(sent) // pieces)])
            await writer.drain()
            await asyncio.sleep(0)
        for _ in range(3):
            answer = await asyncio.wait_for(reader.readuntil(b"}"), 30)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b'"cus_1"' in answer
        writer.close()


async def test_a_tunnel_is_refused(connect: Connect) -> None:
    """CONNECT is for proxies."""
    async with serve(app(), "127.0.0.1", 0) as port:
        reader, writer = await connect(port)
        writer.write(b"CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n")
        assert (await reader.read(12)) == b"HTTP/1.1 400"
        writer.close()


async def test_bytes_that_are_not_http_get_a_400(connect: Connect) -> None:
    """Garbage ends its own connection and nothing else."""
    async with serve(app(), "127.0.0.1", 0) as port:
        reader, writer = await connect(port)
        writer.write(b"\x16\x03\x01\x02\x00 no http\r\n\r\n")
        assert (await reader.read(12)) == b"HTTP/1.1 400"
        writer.close()


async def test_an_ipv6_address_works_too() -> None:
    """`http.host = "::1"` where the machine has it: the one test that must listen elsewhere than on 127.0.0.1."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listen("::1", 0).close()
    except UserMistake:
        pytest.skip("no IPv6 here")
    async with serve(app(), "::1", 0) as port, httpx.AsyncClient() as client:
        assert (await client.get(f"http://[::1]:{port}/readyz")).json() == {"reasons": []}
