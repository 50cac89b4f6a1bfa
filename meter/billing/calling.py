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
from meter.billing.exchange import Connections, Target
from meter.billing.limits_outcome import LimitsAnswer, LimitsOutcome, LimitsUnavailable
from meter.billing.provider_error import one_line
from meter.billing.reply import Reply
from meter.billing.sending import Sending
from meter.billing.sockets import Sockets
from meter.clock import Clock, SystemClock
from meter.errors import BadConfiguration, NotConnected, Unavailable
from meter.pipeline.outcome import Accepted, NotSent, Outcome, TryAgain

MAX_CONNECT_SECONDS = 3.0


class Call(NamedTuple):
    """Where a request goes, and its body."""

    target: Target
    body: bytes


class Answer(NamedTuple):
    """What the provider answers over REST, whichever way it came."""

    status: int
    body: bytes


class Framing(Protocol):
    """How calls are put into requests, and answers taken out of responses."""

    secret_key: str
    unasked_fields: frozenset[str]
    """Of a limits answer: the link to buy more, where it comes whether or not `includeCheckoutSession` asks for it."""

    def bulk(self, bodies: Sequence[bytes]) -> Call:
        """The events, at least one, each a ready JSON object, as one call."""

    def limits(self, request: Mapping[str, object]) -> Call:
        """A limits question with all its fields."""

    def read(self, reply: Reply) -> Answer:
        """The provider's answer; total, whatever the bytes. Raises Unavailable as `Reply.body` does."""


@dataclass(frozen=True, slots=True)
class _Answered:
    reply: Reply
    answer: Answer


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    detail: str
    outcome_unknown: bool


class HttpBilling:
    """The provider's interface, framed one way or the other; nothing is raised.

    `timeout_seconds` is one deadline for a whole call, connecting and reading included; at the deadline the
    connection is aborted. Nothing is ever sent twice by itself: trying again is the caller's business. `connections`
    is for tests; without `Sending` support in it, an incomplete request counts as sent.
    """

    def __init__(
        self,
        framing: Framing,
        timeout_seconds: float,
        *,
        connections: Connections | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._framing = framing
        self._secret_key = framing.secret_key
        self._timeout_seconds = timeout_seconds
        self._clock = clock or SystemClock()
        connect_seconds = min(MAX_CONNECT_SECONDS, timeout_seconds / 2)
        self._connections = connections or Sockets(timeout_seconds, connect_seconds, ssl_context)

    async def record_bulk(self, bodies: Sequence[bytes], may_send: Callable[[], bool]) -> Outcome:
        """Send the events, each a ready JSON object, as one bulk call; what the provider made of it.

        `may_send` is asked directly before every write. Once it says no, the rest of the body is never written.
        """
        if not bodies:
            return Accepted(())
        sending = Sending(may_send)
        if not sending.allowed():
            return NotSent()
        said = await self._post(self._framing.bulk(bodies), sending)
        if isinstance(said, _NoAnswer):
            if sending.forbidden and not said.outcome_unknown:
                return NotSent()
            return TryAgain(said.detail, said.outcome_unknown)
        (status, body), headers = said.answer, said.reply.headers
        return bulk_outcome(status, headers, body, len(bodies), self._clock.now().wall_seconds, self._secret_key)

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        """Ask for a customer's limits; `request` is passed on as it is."""
        said = await self._post(self._framing.limits(request), Sending(_always))
        if isinstance(said, _NoAnswer):
            return LimitsUnavailable(said.detail)
        (status, body), headers = said.answer, said.reply.headers
        outcome = limits_outcome(status, headers, body, self._clock.now().wall_seconds, self._secret_key)
        unasked = self._framing.unasked_fields
        if unasked and isinstance(outcome, LimitsAnswer) and not request.get("includeCheckoutSession"):
            return LimitsAnswer({name: value for name, value in outcome.body.items() if name not in unasked})
        return outcome

    async def close(self) -> None:
        """Close the idle connections."""
        await self._connections.close()

    async def _post(self, call: Call, sending: Sending) -> _Answered | _NoAnswer:
        target, body = call
        try:
            async with asyncio.timeout(self._timeout_seconds):
                reply = await self._connections.exchange(target.origin, target.head(body), body, sending)
            return _Answered(reply, self._framing.read(reply))
        except TimeoutError:
            return _NoAnswer(f"no answer within {self._timeout_seconds:g} s", sending.complete)
        except NotConnected as error:
            return _NoAnswer(one_line(str(error), self._secret_key), outcome_unknown=False)
        except Unavailable as error:
            return _NoAnswer(one_line(str(error), self._secret_key), sending.complete)


def _always() -> bool:
    return True


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
        raise BadConfiguration(["billing.secret_key has characters that cannot be sent in an HTTP header"])
    return {
        "User-Agent": f"meter/{__version__}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
    }
