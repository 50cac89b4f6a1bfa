"""A receiver of webhooks as its author would write it from the provider's documents: verifies, then keeps."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TOLERANCE_SECONDS = 300


class Received(NamedTuple):
    """One request whose signature was good."""

    event: dict[str, Any]
    headers: dict[str, str]


class Receiver:
    """`app` answers with `status`, 401 to bad signatures; `received` has what came, whatever the answer was."""

    def __init__(self, secret: str, now: Callable[[], float]) -> None:
        self.received: list[Received] = []
        self.refused = 0
        self.status = 200
        self.app = Starlette(routes=[Route("/hooks", self._take, methods=["POST"])])
        self._secret = secret
        self._now = now

    @property
    def types(self) -> list[str]:
        """The types of the events, in the order in which they came."""
        return [received.event["type"] for received in self.received]

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """What the events of one type are about."""
        return [each.event["data"]["object"] for each in self.received if each.event["type"] == kind]

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        if not genuine(self._secret, request.headers.get("sv-signature", ""), body, self._now()):
            self.refused += 1
            return Response(status_code=401)
        self.received.append(Received(json.loads(body), dict(request.headers)))
        return Response(status_code=self.status)


def genuine(secret: str, header: str, body: bytes, now: float) -> bool:
    """Whether the signature is that of the body, and not old."""
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    timestamp, given = parts.get("t", ""), parts.get("v1", "")
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, given)
