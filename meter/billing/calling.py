"""A call to the provider over HTTP: one try with one deadline, permission to the last byte, and an outcome.

What a call looks like, and how its answer is read, is its `Framing`'s business: `rest` and `mcp` are two of them.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import httpx

from meter import __version__
from meter.billing.answers import bulk_outcome, limits_outcome
from meter.billing.limits_outcome import LimitsOutcome, LimitsUnavailable
from meter.billing.provider_error import one_line
from meter.billing.sending import EXTENSION, Sending
from meter.billing.transport import SocketTransport
from meter.clock import Clock, SystemClock
from meter.errors import BadConfiguration
from meter.pipeline.outcome import Accepted, NotSent, Outcome, TryAgain

MAX_CONNECT_SECONDS = 3.0
MAX_LIMITS_IN_FLIGHT = 16
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Call(NamedTuple):
    """Where a request goes, and its body."""

    url: httpx.URL
    content: bytes


class Answer(NamedTuple):
    """What the provider answers over REST, whichever way it came."""

    status: int
    body: bytes


class Framing(Protocol):
    """How calls are put into requests, and answers taken out of responses."""

    headers: httpx.Headers

    def bulk(self, bodies: Sequence[bytes]) -> Call:
        """The events, at least one, each a ready JSON object, as one call."""

    def limits(self, request: Mapping[str, object]) -> Call:
        """A limits question with all its fields."""

    def read(self, response: httpx.Response) -> Answer:
        """The provider's answer; total, whatever the bytes."""


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    detail: str
    outcome_unknown: bool


class HttpBilling:
    """The provider's interface, framed one way or the other; nothing is raised.

    `timeout_seconds` is one deadline for a whole call, connecting and reading included; at the deadline the
    connection is aborted. Nothing is ever sent twice by itself: trying again is the caller's business. `transport`
    is for tests; without `Sending` support in it, an incomplete request counts as sent.
    """

    def __init__(
        self,
        framing: Framing,
        secret_key: str,
        timeout_seconds: float,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._framing = framing
        self._secret_key = secret_key
        self._timeout_seconds = timeout_seconds
        self._clock = clock or SystemClock()
        self._limits_slots = asyncio.Semaphore(MAX_LIMITS_IN_FLIGHT)
        connect_seconds = min(MAX_CONNECT_SECONDS, timeout_seconds / 2)
        self._transport = transport or SocketTransport(timeout_seconds, connect_seconds, ssl_context)

    async def record_bulk(self, bodies: Sequence[bytes], may_send: Callable[[], bool]) -> Outcome:
        """Send the events, each a ready JSON object, as one bulk call; what the provider made of it.

        `may_send` is asked directly before every write. Once it says no, the rest of the body is never written.
        """
        if not bodies:
            return Accepted(())
        sending = Sending(may_send)
        if not sending.allowed():
            return NotSent()
        response = await self._post(self._framing.bulk(bodies), sending)
        if isinstance(response, _NoAnswer):
            if sending.forbidden and not response.outcome_unknown:
                return NotSent()
            return TryAgain(response.detail, response.outcome_unknown)
        status, body = self._framing.read(response)
        wall_seconds = self._clock.now().wall_seconds
        return bulk_outcome(status, response.headers, body, len(bodies), wall_seconds, self._secret_key)

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        """Ask for a customer's limits; `request` is passed on as it is. At most 16 of these are under way."""
        call = self._framing.limits(request)
        try:
            async with asyncio.timeout(self._timeout_seconds), self._limits_slots:
                response = await self._post(call, Sending(lambda: True))
        except TimeoutError:  # while waiting for a slot
            response = self._too_late(Sending(lambda: True))
        if isinstance(response, _NoAnswer):
            return LimitsUnavailable(response.detail)
        status, body = self._framing.read(response)
        return limits_outcome(status, response.headers, body, self._clock.now().wall_seconds, self._secret_key)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._transport.aclose()

    async def _post(self, call: Call, sending: Sending) -> httpx.Response | _NoAnswer:
        extensions, headers = {EXTENSION: sending}, self._framing.headers
        request = httpx.Request("POST", call.url, headers=headers, content=call.content, extensions=extensions)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._transport.handle_async_request(request)
                await response.aread()
                return response
        except TimeoutError:
            return self._too_late(sending)
        except _NOTHING_SENT as error:
            return _NoAnswer(self._said(error), outcome_unknown=False)
        except httpx.HTTPError as error:
            return _NoAnswer(self._said(error), sending.complete)

    def _too_late(self, sending: Sending) -> _NoAnswer:
        return _NoAnswer(f"no answer within {self._timeout_seconds:g} s", sending.complete)

    def _said(self, error: Exception) -> str:
        return one_line(str(error) or type(error).__name__, self._secret_key)


def joined(opening: bytes, bodies: Sequence[bytes], closing: bytes) -> bytes:
    """One large allocation, not two: the second costs more (page faults) than all the rest of a request."""
    parts = [opening + bodies[0], *bodies[1:]]
    parts[-1] += closing
    return b",".join(parts)


def address(option: str, text: str) -> httpx.URL:
    """The address in this option. Raises BadConfiguration for one that no request can go to."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise BadConfiguration([f"{option} is not an address: {error}"]) from None
    reachable = url.scheme in ("http", "https") and url.host and 0 < (url.port or 80) < 65536
    if not reachable or url.query or url.fragment:
        raise BadConfiguration([f"{option} must look like https://api.example.com"])
    return url


def common_headers(secret_key: str) -> dict[str, str]:
    """What every request says. Raises BadConfiguration for a key that no header can carry."""
    if not (secret_key.isascii() and secret_key.isprintable()) or secret_key != secret_key.strip():
        raise BadConfiguration(["billing.secret_key has characters that no HTTP header can carry"])
    return {
        "User-Agent": f"meter/{__version__}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
    }
