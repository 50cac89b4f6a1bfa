"""The daemon's routes: limits for product services, health and metrics for operators."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from meter.error_bodies import error_body
from meter.http.exchange import GoneError, Handler, InvalidError, RefusedError, Request, Response, as_json
from meter.http.limits import Limits, LimitsRoutes
from meter.http.parking import ROUTE, Parking
from meter.http.token import guard
from meter.metrics import CONTENT_TYPE

_POSTED = "/v1/sdk/limits"
_NAMED = "/v1/limits/"
"""Followed by customer and product."""

_ROUTES = {
    f"POST {_POSTED}": "may this customer go on? Same request and answer as the provider's",
    f"GET {_NAMED}{{customerRef}}/{{productRef}}": "the same, for a browser or curl",
    ROUTE: "move held events to the dead letters; used by `meter dead-letters park`",
    "GET /healthz": "the event loop is running",
    "GET /readyz": "it is doing its work; otherwise 503 with the reasons",
    "GET /metrics": "Prometheus",
    "GET /status": "events, partitions and billing as JSON",
}


class Probe(Protocol):
    """What the daemon knows about itself; answered at once, from memory."""

    def status(self) -> Mapping[str, Any]:
        """The body of `/status`; holds no secret."""

    def reasons(self) -> list[str]:
        """Why it is not ready; empty when it is."""

    def alive(self) -> bool:
        """False when only a restart can help."""


class _Route(NamedTuple):
    handler: Handler
    methods: tuple[str, ...] = ("GET", "HEAD")


def build(
    limits: Limits,
    probe: Probe,
    render_metrics: Callable[[], bytes],
    token: str | None,
    parking: Parking,
) -> ASGIApp:
    """The application. With a `token`, `/v1/*` and `/status` need it."""
    asked, guarded = LimitsRoutes(limits), guard(token)
    routes = _probe_routes(probe, render_metrics)
    routes["/status"] = routes["/status"]._replace(handler=guarded(routes["/status"].handler))
    routes[_POSTED] = _Route(guarded(asked.posted), ("POST",))
    routes[ROUTE.split()[1]] = _Route(guarded(_park(parking)), ("POST",))
    return _Api(routes, _Route(guarded(asked.named)))


class _Api:
    """Finds the handler of a request, and turns whatever comes of it into an answer."""

    def __init__(self, routes: Mapping[str, _Route], named: _Route) -> None:
        self._routes = routes
        self._named = named

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. What is raised has been answered with a 500 that tells nothing, and is for the log."""
        request = Request(scope, receive)
        try:
            response = await self._handler(request)(request)
        except RefusedError as refusal:
            response = refusal.response
        except GoneError:
            return  # nobody is there to read an answer
        except Exception:
            await as_json(error_body(500, "Internal server error"), 500).send(send)
            raise
        await response.send(send)

    def _handler(self, request: Request) -> Handler:
        path = request.path
        route = self._routes.get(path) or self._routes.get(path.removesuffix("/"))
        if route is None and path.startswith(_NAMED):
            route = self._named
        if route is None:
            raise RefusedError(404, f"Cannot {request.method} {path}")
        if request.method not in route.methods:
            raise RefusedError(405, "Method Not Allowed", ((b"allow", ", ".join(route.methods).encode()),))
        return route.handler


def _probe_routes(probe: Probe, render_metrics: Callable[[], bytes]) -> dict[str, _Route]:
    async def healthz(_: Request) -> Response:
        return as_json({"status": "ok"}) if probe.alive() else as_json({"status": "stuck"}, 503)

    async def readyz(_: Request) -> Response:
        reasons = probe.reasons()
        return as_json({"reasons": reasons}, 503 if reasons else 200)

    async def metrics(_: Request) -> Response:
        return Response(200, render_metrics(), ((b"content-type", CONTENT_TYPE.encode()),))

    async def status(_: Request) -> Response:
        return as_json(probe.status())

    async def index(_: Request) -> Response:
        return as_json({"meter": _ROUTES})

    handlers = {"/status": status, "/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/": index}
    return {path: _Route(handler) for path, handler in handlers.items()}


def _park(parking: Parking) -> Handler:
    async def park(request: Request) -> Response:
        answer = parking.asked(await request.json_object())
        if isinstance(answer, dict):
            raise InvalidError(answer)
        return as_json(answer._asdict())

    return park
