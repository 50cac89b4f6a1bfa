"""The billing provider over REST: a batch or a limits question goes out, an outcome comes back, nothing is raised."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx
import msgspec

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
_PREFIX = "/v1/sdk"
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    detail: str
    outcome_unknown: bool


class RestBilling:
    """The provider's REST interface.

    `timeout_seconds` is one deadline for a whole call, connecting and reading included; at the deadline the
    connection is aborted. Nothing is ever sent twice by itself: trying again is the caller's business. `transport`
    is for tests; without `Sending` support in it, an incomplete request counts as sent.
    Raises BadConfiguration for an address or a key that no request can carry.
    """

    def __init__(
        self,
        base_url: str,
        secret_key: str,
        timeout_seconds: float,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        root = _root(base_url)
        self._bulk_url = httpx.URL(f"{root}/usages/bulk")
        self._limits_url = httpx.URL(f"{root}/limits")
        self._secret_key = secret_key
        self._headers = _headers(secret_key)
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
        answer = await self._post(self._bulk_url, _bulk_body(bodies), sending)
        if isinstance(answer, _NoAnswer):
            if sending.forbidden and not answer.outcome_unknown:
                return NotSent()
            return TryAgain(answer.detail, answer.outcome_unknown)
        wall_seconds = self._clock.now().wall_seconds
        headers, body = answer.headers, answer.content
        return bulk_outcome(answer.status_code, headers, body, len(bodies), wall_seconds, self._secret_key)

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        """Ask for a customer's limits; `request` is passed on as it is. At most 16 of these are under way."""
        content = msgspec.json.encode(request)
        try:
            async with asyncio.timeout(self._timeout_seconds), self._limits_slots:
                answer = await self._post(self._limits_url, content, Sending(lambda: True))
        except TimeoutError:  # while waiting for a slot
            answer = self._too_late(Sending(lambda: True))
        if isinstance(answer, _NoAnswer):
            return LimitsUnavailable(answer.detail)
        wall_seconds = self._clock.now().wall_seconds
        return limits_outcome(answer.status_code, answer.headers, answer.content, wall_seconds, self._secret_key)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._transport.aclose()

    async def _post(self, url: httpx.URL, content: bytes, sending: Sending) -> httpx.Response | _NoAnswer:
        extensions = {EXTENSION: sending}
        request = httpx.Request("POST", url, headers=self._headers, content=content, extensions=extensions)
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


def _bulk_body(bodies: Sequence[bytes]) -> bytes:
    """One large allocation, not two: the second costs more (page faults) than all the rest of a request."""
    parts = [b'{"events":[' + bodies[0], *bodies[1:]]
    parts[-1] += b"]}"
    return b",".join(parts)


def _root(base_url: str) -> str:
    root = base_url.rstrip("/")
    root = root if root.endswith(_PREFIX) else root + _PREFIX
    try:
        url = httpx.URL(root)
    except httpx.InvalidURL as error:
        raise BadConfiguration([f"billing.base_url is not an address: {error}"]) from None
    reachable = url.scheme in ("http", "https") and url.host and 0 < (url.port or 80) < 65536
    if not reachable or url.query or url.fragment:
        raise BadConfiguration(["billing.base_url must look like https://api.example.com"])
    return root


def _headers(secret_key: str) -> httpx.Headers:
    if not (secret_key.isascii() and secret_key.isprintable()) or secret_key != secret_key.strip():
        raise BadConfiguration(["billing.secret_key has characters that no HTTP header can carry"])
    return httpx.Headers(
        {
            "Authorization": f"Bearer {secret_key}",
            "User-Agent": f"meter/{__version__}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
    )
