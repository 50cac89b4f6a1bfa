"""Nothing leaves late: what really arrives at a provider when the lease ends, at the deadline, or when stopped."""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable

import pytest

from meter.billing.calling import HttpBilling
from meter.billing.mcp import McpFraming
from meter.billing.rest import RestFraming
from meter.pipeline.outcome import Accepted, NotSent, TooLarge, TryAgain
from tests.integration.recording_server import Connection, RecordingServer, accepted, running
from tests.waiting import eventually

LIMIT_SECONDS = 60.0
# far more than the kernel takes into its buffers, so that such a body is certainly under way for as long as we like
HUGE = [b'{"customerRef":"%s"}' % (b"x" * 1_000_000)] * 24
# fits into the kernel's send buffer as a whole, but not into the server's small receive buffer
BUFFERED = [b'{"customerRef":"%s"}' % (b"x" * 1000)] * 300
SMALL = [b'{"customerRef":"cus_A"}', b'{"customerRef":"cus_B"}']
MORE_THAN_A_QUEUE = 8


class Lease:
    """Permission that ends when told."""

    lasts = True

    def __call__(self) -> bool:
        return self.lasts


BillingAt = Callable[[str, float], HttpBilling]


@pytest.fixture(params=["rest", "mcp"])
def transport(request: pytest.FixtureRequest) -> str:
    """The promises are those of every transport."""
    return str(request.param)


@pytest.fixture
def answer(transport: str) -> bytes:
    """That of a provider that has accepted SMALL."""
    return accepted(len(SMALL), transport=transport)


@pytest.fixture
async def billing_at(transport: str) -> AsyncIterator[BillingAt]:
    """Makes transports for an address with a deadline in seconds, and closes them."""
    async with contextlib.AsyncExitStack() as made:

        def make(url: str, timeout_seconds: float) -> HttpBilling:
            kind = McpFraming if transport == "mcp" else RestFraming
            billing = HttpBilling(kind(url, "key"), timeout_seconds)
            made.push_async_callback(billing.close)
            return billing

        yield make


async def connection_with(server: RecordingServer, received_bytes: int) -> Connection:
    """The server's first connection, once that many bytes have come over it."""

    def arrived() -> bool:
        return bool(server.connections) and len(server.connections[0].received) >= received_bytes

    await eventually(arrived, LIMIT_SECONDS, f"{received_bytes} bytes at the provider")
    return server.connections[0]


async def read_to_the_end(server: RecordingServer, connection: Connection) -> tuple[int, int]:
    """Let the server read whatever there is; bytes of the body that came, and that were announced."""
    await server.read_on()
    await eventually(lambda: connection.end, LIMIT_SECONDS, "the end of the connection")
    return connection.body_bytes()


async def test_without_a_lease_nothing_is_sent(billing_at: BillingAt) -> None:
    """M2: not even a connection is opened."""
    async with running(RecordingServer()) as server:
        billing = billing_at(server.url, LIMIT_SECONDS)
        assert await billing.record_bulk(SMALL, lambda: False) == NotSent()
        assert server.connections == []


async def test_a_lease_that_ends_while_connecting_sends_nothing(billing_at: BillingAt) -> None:
    """Permission is asked again directly before the first byte."""
    answers = iter([True, False])
    async with running(RecordingServer()) as server:
        outcome = await billing_at(server.url, LIMIT_SECONDS).record_bulk(SMALL, lambda: next(answers))
        assert outcome == NotSent()
        await eventually(lambda: server.ends() == ["reset"], LIMIT_SECONDS, "the end of the connection")
        assert server.connections[0].received == b""


async def test_a_lease_that_ends_in_the_middle_of_a_body_leaves_it_incomplete(billing_at: BillingAt) -> None:
    """M1: the rest is never written, also when the provider reads again; and we know that nothing was billed."""
    lease = Lease()
    async with running(RecordingServer(read_limit_bytes=1_000_000)) as server:
        call = asyncio.create_task(billing_at(server.url, LIMIT_SECONDS).record_bulk(HUGE, lease))
        connection = await connection_with(server, 1_000_000)
        lease.lasts = False
        came, announced = await read_to_the_end(server, connection)
        assert await call == NotSent()
        assert came < announced
        assert connection.end == "reset"


async def test_the_deadline_in_the_middle_of_a_body_leaves_it_incomplete(billing_at: BillingAt) -> None:
    """A provider that stops reading gets no more after the deadline, and the outcome is known: nothing billed."""
    async with running(RecordingServer(read_limit_bytes=1_000_000)) as server:
        outcome = await billing_at(server.url, 2.0).record_bulk(HUGE, Lease())
        assert outcome == TryAgain("no answer within 2 s", outcome_unknown=False)
        came, announced = await read_to_the_end(server, server.connections[0])
        assert came < announced
        assert server.ends() == ["reset"]


async def test_at_the_deadline_the_kernel_forgets_what_it_has_not_delivered(billing_at: BillingAt) -> None:
    """A body that only the kernel holds any more is not delivered after we have given up, as a close would do."""
    async with running(RecordingServer(read_limit_bytes=1000)) as server:
        outcome = await billing_at(server.url, 2.0).record_bulk(BUFFERED, Lease())
        assert outcome == TryAgain("no answer within 2 s", outcome_unknown=True)
        came, announced = await read_to_the_end(server, server.connections[0])
        assert came < announced
        assert server.ends() == ["reset"]


async def test_a_provider_that_is_silent_after_a_whole_body_leaves_the_outcome_unknown(billing_at: BillingAt) -> None:
    """M6: it may still be inserting."""
    async with running(RecordingServer()) as server:
        outcome = await billing_at(server.url, 2.0).record_bulk(SMALL, Lease())
        assert outcome == TryAgain("no answer within 2 s", outcome_unknown=True)
        came, announced = await read_to_the_end(server, server.connections[0])
        assert came == announced
        assert server.ends() == ["reset"]


async def test_a_cancelled_call_is_aborted(billing_at: BillingAt) -> None:
    """A second signal must not leave a body behind that becomes complete later."""
    async with running(RecordingServer(read_limit_bytes=1_000_000)) as server:
        call = asyncio.create_task(billing_at(server.url, LIMIT_SECONDS).record_bulk(HUGE, Lease()))
        connection = await connection_with(server, 1_000_000)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        came, announced = await read_to_the_end(server, connection)
        assert came < announced


async def test_nobody_there_means_that_nothing_was_sent(billing_at: BillingAt) -> None:
    """A refused connection has a known outcome."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, but nobody listens
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        outcome = await billing_at(url, LIMIT_SECONDS).record_bulk(SMALL, Lease())
    assert isinstance(outcome, TryAgain)
    assert not outcome.outcome_unknown
    assert "Connection refused" in outcome.detail


@contextlib.asynccontextmanager
async def nobody_accepts() -> AsyncIterator[str]:
    """A listener whose queue is full: the kernel answers no attempt to connect, as a packet filter would."""
    async with contextlib.AsyncExitStack() as waiting:
        listener = waiting.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(MORE_THAN_A_QUEUE):
            queued = waiting.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels refuse what does not fit into the queue")
async def test_half_of_the_deadline_is_left_when_no_connection_comes_about(billing_at: BillingAt) -> None:
    """Connecting has a shorter limit of its own, and then it is certain that nothing was sent."""
    async with nobody_accepts() as url:
        address = url.removeprefix("http://")
        outcome = await billing_at(url, 4.0).record_bulk(SMALL, Lease())
    assert outcome == TryAgain(f"no connection to {address}", outcome_unknown=False)


async def test_a_connection_is_used_again(billing_at: BillingAt, answer: bytes) -> None:
    """Keep-alive: one connection carries one request after the other."""
    async with running(RecordingServer(answers=[answer, answer])) as server:
        billing = billing_at(server.url, LIMIT_SECONDS)
        for _ in range(2):
            assert isinstance(await billing.record_bulk(SMALL, Lease()), Accepted)
        assert [connection.requests_total() for connection in server.connections] == [2]
        await billing.close()
        await eventually(lambda: server.ends() == ["closed"], LIMIT_SECONDS, "a close without a reset")


async def test_a_request_is_never_sent_twice_by_itself(billing_at: BillingAt, answer: bytes) -> None:
    """A kept connection that is cut under a request: the outcome is unknown, and the next try is the caller's."""
    async with running(RecordingServer(answers=[answer, None, answer])) as server:
        billing = billing_at(server.url, LIMIT_SECONDS)
        await billing.record_bulk(SMALL, Lease())
        outcome = await billing.record_bulk(SMALL, Lease())
        assert isinstance(outcome, TryAgain)
        assert outcome.outcome_unknown
        assert sum(connection.requests_total() for connection in server.connections) == 2


async def test_a_kept_connection_that_the_provider_has_closed_is_not_used(billing_at: BillingAt, answer: bytes) -> None:
    """An idle connection is looked at first, so that an ordinary keep-alive timeout costs nothing."""
    async with running(RecordingServer(answers=[answer, answer])) as server:
        billing = billing_at(server.url, LIMIT_SECONDS)
        await billing.record_bulk(SMALL, Lease())
        server.connections[0].socket.shutdown(socket.SHUT_RDWR)
        assert isinstance(await billing.record_bulk(SMALL, Lease()), Accepted)
        assert len(server.connections) == 2


async def test_an_answer_that_comes_before_the_body_is_read_counts(billing_at: BillingAt) -> None:
    """A provider that refuses a body by its length answers and never reads it."""
    too_large = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n"
    async with running(RecordingServer(read_limit_bytes=1000)) as server:
        call = asyncio.create_task(billing_at(server.url, LIMIT_SECONDS).record_bulk(HUGE, Lease()))
        connection = await connection_with(server, 1000)
        await asyncio.get_running_loop().sock_sendall(connection.socket, too_large)
        assert await call == TooLarge()
        came, announced = await read_to_the_end(server, connection)
        assert came < announced


SENDER = """
import asyncio, sys, time
from meter.billing.calling import HttpBilling
from meter.billing.rest import RestFraming

async def main(url, events, lease_seconds, timeout_seconds):
    until = time.clock_gettime(time.CLOCK_BOOTTIME) + lease_seconds
    print(until, flush=True)
    body = b'{"customerRef":"%s"}' % (b"x" * 1000)
    may_send = lambda: time.clock_gettime(time.CLOCK_BOOTTIME) < until
    billing = HttpBilling(RestFraming(url, "key"), timeout_seconds)
    print(await billing.record_bulk([body] * events, may_send), flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
"""


async def sender(server: RecordingServer, events: int, lease: float, timeout: float) -> asyncio.subprocess.Process:
    """Another process that sends one batch."""
    arguments = (server.url, str(events), str(lease), str(timeout))
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-c", SENDER, *arguments, stdout=pipe)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the clock that counts suspension")
async def test_a_process_that_is_stopped_in_the_middle_of_a_body_never_completes_it() -> None:
    """M1: stopped while half the body is out, continued when the lease is over and the provider reads again."""
    async with running(RecordingServer(read_limit_bytes=1_000_000)) as server:
        process = await sender(server, events=24_000, lease=8.0, timeout=60.0)
        assert process.stdout
        lease_end = float(await process.stdout.readline())
        connection = await connection_with(server, 1_000_000)
        assert time.clock_gettime(time.CLOCK_BOOTTIME) < lease_end
        process.send_signal(signal.SIGSTOP)
        await eventually(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > lease_end, LIMIT_SECONDS, "the lease's end")
        process.send_signal(signal.SIGCONT)
        came, announced = await read_to_the_end(server, connection)
        assert came < announced
        assert connection.end == "reset"
        assert b"NotSent" in await process.stdout.read()
        assert await process.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_USER_TIMEOUT")
async def test_the_kernel_stops_delivering_for_a_stopped_process() -> None:
    """M1: a whole body in the kernel's buffer is not delivered minutes later when the provider reads again."""
    async with running(RecordingServer(read_limit_bytes=1000)) as server:
        process = await sender(server, events=300, lease=60.0, timeout=2.0)
        connection = await connection_with(server, 1000)
        await eventually(connection.is_pressing, LIMIT_SECONDS, "the kernel holds more than it can deliver")
        process.send_signal(signal.SIGSTOP)
        await eventually(connection.is_given_up, LIMIT_SECONDS, "the kernel has given up")
        came, announced = await read_to_the_end(server, connection)
        assert came < announced
        process.kill()
        await process.wait()
