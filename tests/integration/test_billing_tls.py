"""The same promises over TLS, against a server with a throw-away certificate."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trustme

from meter.billing.calling import HttpBilling
from meter.billing.rest import RestFraming
from meter.pipeline.outcome import Accepted, NotSent, TryAgain
from tests.integration.recording_server import accepted
from tests.waiting import eventually

LIMIT_SECONDS = 60.0
LARGE = [b'{"customerRef":"%s"}' % (b"x" * 1000)] * 900
HUGE = [b'{"customerRef":"%s"}' % (b"x" * 1_000_000)] * 24


@dataclass
class TlsProvider:
    """Answers each request once its body has come; reads on only while `reading` is set."""

    events_total: int
    connections_total: int = 0
    received_bytes: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections_total += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await self._read(reader, length)
                writer.write(accepted(self.events_total))
        self.ended.set()
        writer.close()

    async def _read(self, reader: asyncio.StreamReader, length: int) -> None:
        missing = length
        while missing:
            data = await reader.read(min(missing, 100_000))
            if not data:
                raise asyncio.IncompleteReadError(b"", missing)
            missing -= len(data)
            self.received_bytes += len(data)
            await self.reading.wait()


@contextlib.asynccontextmanager
async def running(provider: TlsProvider, authority: trustme.CA) -> AsyncIterator[str]:
    """Serve for as long as the block lasts; gives the address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts that authority only."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_large_batches_go_over_one_tls_connection() -> None:
    """Handshake once, then many records each way."""
    provider, authority = TlsProvider(events_total=900), trustme.CA()
    provider.reading.set()
    async with running(provider, authority) as url:
        billing = HttpBilling(RestFraming(url, "key"), LIMIT_SECONDS, ssl_context=trusting(authority))
        for _ in range(3):
            assert isinstance(await billing.record_bulk(LARGE, lambda: True), Accepted)
        assert provider.connections_total == 1
        await billing.close()
        await provider.ended.wait()


async def test_a_certificate_that_nobody_vouches_for_ends_it_before_anything_is_sent() -> None:
    """The reason is said, and the outcome is known."""
    provider = TlsProvider(events_total=900)
    async with running(provider, trustme.CA()) as url:
        billing = HttpBilling(RestFraming(url, "key"), LIMIT_SECONDS, ssl_context=trusting(trustme.CA()))
        outcome = await billing.record_bulk(LARGE, lambda: True)
        assert isinstance(outcome, TryAgain)
        assert not outcome.outcome_unknown
        assert "CERTIFICATE_VERIFY_FAILED" in outcome.detail
    assert provider.received_bytes == 0


@pytest.mark.parametrize("end", ["lease", "cancellation"])
async def test_a_body_over_tls_stays_incomplete_as_well(end: str) -> None:
    """M1: neither a half-written record nor a closing handshake delivers the rest."""
    provider, authority, lease = TlsProvider(events_total=24), trustme.CA(), [True]
    async with running(provider, authority) as url:
        billing = HttpBilling(RestFraming(url, "key"), LIMIT_SECONDS, ssl_context=trusting(authority))
        call = asyncio.create_task(billing.record_bulk(HUGE, lambda: lease[0]))
        await eventually(lambda: provider.received_bytes, LIMIT_SECONDS, "the beginning of the body")
        if end == "lease":
            lease[0] = False
        else:
            call.cancel()
        provider.reading.set()
        await asyncio.wait_for(provider.ended.wait(), LIMIT_SECONDS)
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError) or outcome == NotSent()
        assert provider.received_bytes < sum(map(len, HUGE))
