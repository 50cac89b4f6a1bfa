"""The daemon's routes: limits for product services, health and metrics for operators.

Limits are a drop-in for the provider's own route: same request, same answer and same error form, plus `meter`.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from meter.http_errors import error_body, invalid_body
from meter.http_parking import ROUTE, Parking
from meter.limits import Answer, Question
from meter.metrics import CONTENT_TYPE

MAX_BODY_BYTES = 65_536
MAX_REF_LENGTH = 256
_BODY_SECONDS = 10.0
"""A body that has not arrived by then never will; meanwhile it takes a connection."""

_ROUTES = {
    "POST /v1/sdk/limits": "may this customer go on? Same request and answer as the provider's",
    "GET /v1/limits/{customerRef}/{productRef}": "the same, for a browser or curl",
    ROUTE: "held events into the dead letters, as `meter dead-letters park` asks for it",
    "GET /healthz": "the process turns",
    "GET /readyz": "it does its work; 503 with the reasons otherwise",
    "GET /metrics": "Prometheus",
    "GET /status": "events, partitions and billing as JSON",
}

Handler = Callable[[Request], Awaitable[Response]]
Guard = Callable[[Handler], Handler]


class Limits(Protocol):
    """Whoever answers limits questions."""

    async def answer(self, question: Question) -> Answer:
        """Never raises for what the caller or the provider did wrong: that is an answer too."""


class Probe(Protocol):
    """What the daemon knows about itself; answered at once, from memory."""

    def status(self) -> Mapping[str, Any]:
        """The body of `/status`; holds no secret."""

    def reasons(self) -> list[str]:
        """Why it is not ready; empty when it is."""

    def alive(self) -> bool:
        """False when only a restart can help."""


def build(
    limits: Limits,
    probe: Probe,
    render_metrics: Callable[[], bytes],
    token: str | None,
    parking: Parking | None = None,
) -> Starlette:
    """The application. With a `token`, `/v1/*` and `/status` need it."""
    guarded = _guard(token)
    parks = [_parking_route(parking, guarded)] if parking is not None else []
    return Starlette(
        routes=[*_limits_routes(limits, guarded), *parks, *_probe_routes(probe, render_metrics, guarded)],
        exception_handlers={HTTPException: _refused, ClientDisconnect: _gone, Exception: _failed},
    )


def _limits_routes(limits: Limits, guarded: Guard) -> list[Route]:
    async def post_limits(request: Request) -> Response:
        fields = _json_object(await _body(request))
        return await _answered(limits, fields)

    async def get_limits(request: Request) -> Response:
        customer, product = _refs(request)
        flag = {"true": True, "false": False}
        query = {name: flag.get(value, value) for name, value in request.query_params.items()}
        return await _answered(limits, query | {"customerRef": customer, "productRef": product})

    return [
        Route("/v1/sdk/limits", guarded(post_limits), methods=["POST"]),
        Route("/v1/limits/{rest:path}", guarded(get_limits)),
    ]


def _probe_routes(probe: Probe, render_metrics: Callable[[], bytes], guarded: Guard) -> list[Route]:
    async def healthz(_: Request) -> Response:
        return _json({"status": "ok"}) if probe.alive() else _json({"status": "stuck"}, 503)

    async def readyz(_: Request) -> Response:
        reasons = probe.reasons()
        return _json({"reasons": reasons}, 503 if reasons else 200)

    async def metrics(_: Request) -> Response:
        return Response(render_metrics(), headers={"content-type": CONTENT_TYPE})

    async def status(_: Request) -> Response:
        return _json(probe.status())

    async def index(_: Request) -> Response:
        return _json({"meter": _ROUTES})

    return [
        Route("/status", guarded(status)),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/", index),
    ]


def _parking_route(parking: Parking, guarded: Guard) -> Route:
    async def park(request: Request) -> Response:
        answer = parking.asked(_json_object(await _body(request)))
        if isinstance(answer, dict):
            raise _Invalid(answer)
        return _json(answer._asdict())

    return Route(ROUTE.split()[1], guarded(park), methods=["POST"])


async def _answered(limits: Limits, fields: Mapping[str, Any]) -> Response:
    answer = await limits.answer(_question(fields))
    return _json(answer.body, answer.status)


def _question(fields: Mapping[str, Any]) -> Question:
    """Raises HTTPException 400 with every fault; unknown fields are ignored, as the provider does."""
    faults = {name: fault for name in ("customerRef", "productRef") if (fault := _text_fault(fields.get(name), True))}
    faults |= {name: fault for name in ("meterName", "usageType") if (fault := _text_fault(fields.get(name), False))}
    checkout = fields.get("includeCheckoutSession")
    if checkout is not None and not isinstance(checkout, bool):
        faults["includeCheckoutSession"] = "Expected boolean"
    if faults:
        raise _Invalid(faults)
    return Question(
        fields["customerRef"], fields["productRef"], fields.get("meterName"), fields.get("usageType"), bool(checkout)
    )


def _text_fault(value: object, is_required: bool) -> str | None:
    if value is None:
        return "Required" if is_required else None
    if not isinstance(value, str):
        return "Expected string"
    if is_required and not value:
        return "String must contain at least 1 character(s)"
    if len(value) > MAX_REF_LENGTH:
        return f"String must contain at most {MAX_REF_LENGTH} character(s)"
    return None


class _Invalid(HTTPException):
    """400 in the form of the provider's validation."""

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__(400, "Validation failed")
        self.faults = faults


async def _body(request: Request) -> bytes:
    """The whole body, never more than `MAX_BODY_BYTES` of it in memory."""
    pieces: list[bytes] = []
    size_bytes = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.stream():
                size_bytes += len(piece)
                if size_bytes > MAX_BODY_BYTES:
                    raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes", {"connection": "close"})
                pieces.append(piece)
    except TimeoutError:
        raise HTTPException(408, "The body did not arrive in time", {"connection": "close"}) from None
    return b"".join(pieces)


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise HTTPException(400, "The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise HTTPException(400, "The body must be a JSON object")
    return value


def _refs(request: Request) -> tuple[str, str]:
    """Customer and product from the path as it was sent: `%2F` belongs to a name, `/` does not."""
    raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    parts = raw_path.split(b"/")[3:]
    if len(parts) != 2:
        raise HTTPException(404, f"Cannot GET {request.url.path}")
    try:
        customer, product = (unquote(part.decode("ascii"), errors="strict") for part in parts)
    except UnicodeDecodeError:
        raise HTTPException(400, "The path is not UTF-8") from None
    return customer, product


def _guard(token: str | None) -> Guard:
    """Wraps a handler so that it needs the token; without a configured one any is ignored."""
    if token is None:
        return lambda handler: handler
    expected = token.encode()

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            shown = _credentials(request)
            if not shown:
                return _unauthorized("Authentication required")
            if not any(hmac.compare_digest(one, expected) for one in shown):
                return _unauthorized("Invalid or expired secret key")
            return await handler(request)

        return checked

    return guarded


def _credentials(request: Request) -> list[bytes]:
    found = []
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        found.append(value.strip().encode("latin-1"))
    if key := request.headers.get("x-api-key"):
        found.append(key.encode("latin-1"))
    return found


def _unauthorized(message: str) -> Response:
    return _json(error_body(401, message), 401, {"www-authenticate": "Bearer"})


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, _Invalid):
        return _json(invalid_body(error.faults), 400)
    assert isinstance(error, HTTPException)  # noqa: S101 - the one class this handler is registered for
    is_default = error.status_code == 404 and error.detail == "Not Found"
    message = f"Cannot {request.method} {request.url.path}" if is_default else error.detail
    return _json(error_body(error.status_code, message), error.status_code, dict(error.headers or {}))


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _failed(_: Request, __: Exception) -> Response:
    return _json(error_body(500, "Internal server error"), 500)


def _json(body: Mapping[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body), status, {"cache-control": "no-store"} | (headers or {}), "application/json"
    )
