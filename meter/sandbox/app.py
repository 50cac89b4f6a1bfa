"""The sandbox as one ASGI application: which path leads where, and what surrounds every request."""

import asyncio
import ipaddress
import sqlite3
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.types import ASGIApp, Receive, Scope, Send

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.controls import Controls
from meter.sandbox.demo_data import world as demo
from meter.sandbox.description.openapi import OpenApi
from meter.sandbox.faults.connections import Client, Cut, Pipe, Silence
from meter.sandbox.faults.fault_list import Fault, Faults
from meter.sandbox.faults.striker import ConnectionCutError, Route, Striker
from meter.sandbox.knobs import Knobs
from meter.sandbox.mcp.arguments import Caller
from meter.sandbox.mcp.routes import tool_routes
from meter.sandbox.mcp.tools import ENDPOINT
from meter.sandbox.pages.overview import Overview
from meter.sandbox.pages.session_pages import Pages
from meter.sandbox.rest.authentication import authenticate, environment_of
from meter.sandbox.rest.calls import SANDBOX, Answer, Call, Handler
from meter.sandbox.rest.errors import ProviderError
from meter.sandbox.routes import provider_routes
from meter.sandbox.sales.jobs import Jobs
from meter.sandbox.sales.renewals import Renewals
from meter.sandbox.store import Store
from meter.sandbox.usage.recording import Recorder
from meter.sandbox.webhooks.controls import WebhookControls
from meter.sandbox.webhooks.delivery import Webhooks
from meter.sandbox.webhooks.endpoints import configured

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server


class Sandbox:
    """An ASGI application: the provider's routes and the controls, over one store.

    `key` is the only one accepted (None: any); `now` tells Unix seconds; webhooks go through `outgoing`, usually the
    network. Setting `stopping` ends whatever a fault lets wait. Without a server that can reset connections, a cut
    raises ConnectionCutError into the caller. `demo_data` fills an empty store with the world of the examples; raises
    NotEmptyError when it holds another.
    """

    def __init__(
        self,
        store: Store,
        *,
        key: str | None = None,
        faults: Sequence[Fault] = (),
        knobs: Knobs = Knobs(),  # noqa: B008  # frozen
        now: Callable[[], float] = time.time,
        outgoing: httpx.AsyncBaseTransport | None = None,
        demo_data: bool = False,
    ) -> None:
        self.stopping = asyncio.Event()
        self._key = key
        armed = Faults(faults)
        self.catalogue = catalogue = Catalogue(store, now)
        self.webhooks = _webhooks(store, knobs, now, outgoing)
        self._now = now
        self._renewals = Renewals(catalogue)
        self.jobs = Jobs(store, catalogue, self._renewals.in_time(now))
        recorder = Recorder(store, catalogue, knobs)
        self._striker = Striker(armed, recorder, self.stopping)
        fill: Callable[[float], None] = partial(_load_demo, store, catalogue) if demo_data else lambda _: None
        fill(now())
        self._controls = Controls(store, catalogue, armed, faults, fill)
        overview = Overview(store, catalogue, self._controls.totals_shown, armed.shown)
        entries = provider_routes(recorder, store, catalogue, knobs)
        self._tool_routes = tool_routes(entries, store, catalogue, knobs)
        self._knobs = knobs
        self._app = Starlette(
            routes=[
                *(self._provider_path(*entry) for entry in entries),
                Path(ENDPOINT, _Later(self._tool_endpoint)),
                *(self._control_path(*entry) for entry in self._controls.routes()),
                *(self._control_path(*entry) for entry in WebhookControls(store.outbox).routes()),
                *(self._control_path(*entry) for entry in Pages(store, catalogue, knobs).routes()),
                *(self._control_path(*entry) for entry in overview.routes()),
                *(self._control_path(*entry, anybody=True) for entry in OpenApi(entries).routes()),
            ],
            exception_handlers={HTTPException: _unknown_path, Exception: _our_mistake},
        )

    async def work(self) -> None:
        """What goes on without requests, until cancelled: webhooks go out, purchases expire."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.webhooks.run())
            group.create_task(self.jobs.run())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    def tool_server(self, key: str, host: str) -> "Server[Any]":
        """The tools for one caller who came with `key` without HTTP; `host` (name:port) serves the pages of links."""
        from meter.sandbox.mcp.server import Tools

        environment = environment_of(key)

        def caller() -> Caller:
            self._count()
            return Caller(environment, self._now(), {"host": host})

        tools = Tools(self._tool_routes, self._striker, self._renewals, self._knobs)
        return tools.serve(caller, Pipe(self.stopping), lambda _: None)

    def _tool_endpoint(self) -> ASGIApp:
        from meter.sandbox.mcp.http import McpEndpoint
        from meter.sandbox.mcp.server import Tools

        tools = Tools(self._tool_routes, self._striker, self._renewals, self._knobs)
        return McpEndpoint(tools, self._key, self._now, self._count)

    def _count(self) -> None:
        self._controls.requests_total += 1

    def _provider_path(self, method: str, path: str, route: Route) -> Path:
        async def answer(request: Request, body: bytes, now: float) -> Answer:
            self._count()
            environment = authenticate(request.headers, self._key)
            path, params, query = request.url.path, request.path_params, request.query_params
            call = Call(environment, path, body, now, params, query, request.headers)
            return await self._striker.answer(call, route, Client(request))

        return Path(path, self._endpoint(answer), methods=[method])

    def _control_path(self, method: str, path: str, handler: Handler, *, anybody: bool = False) -> Path:
        async def answer(request: Request, body: bytes, now: float) -> Answer:
            if not (anybody or _is_local(request)):
                raise ProviderError(403, "The sandbox's controls are served to this machine only")
            path, params, query = request.url.path, request.path_params, request.query_params
            return handler(Call(SANDBOX, path, body, now, params, query, request.headers))

        return Path(path, self._endpoint(answer), methods=[method])

    def _endpoint(
        self, answer: Callable[[Request, bytes, float], Awaitable[Answer]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            now = self._now()
            try:
                self._renewals.settle(now)
                return _response(await answer(request, await request.body(), now))
            except ClientDisconnect:  # left before its request was whole: there is nobody to answer
                return Silence()
            except ConnectionCutError:
                return Cut()
            except (ProviderError, sqlite3.Error, RecursionError) as error:
                return _failed(error, request.url.path, now)

        return serve


def _load_demo(store: Store, catalogue: Catalogue, now: float) -> None:
    with store.outbox.silent():  # it has been so for long, as far as anybody knows
        demo.load(store, catalogue, now)


def _webhooks(
    store: Store, knobs: Knobs, now: Callable[[], float], outgoing: httpx.AsyncBaseTransport | None
) -> Webhooks:
    """The sender of webhooks, with the endpoint that the configuration names."""
    store.outbox.configure(configured(knobs.webhook_url, knobs.webhook_secret, knobs.webhook_events, now()))
    store.outbox.low_balance_credits = knobs.low_balance_credits
    store.outbox.delay_seconds = knobs.webhook_delay_seconds
    return Webhooks(store.outbox, knobs.webhooks, now, outgoing)


class _Later:
    """An ASGI application that is made when it is first asked for, while others are served.

    The SDK of the tools takes most of a second to load: those who only use REST shall not wait for it.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._made: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._made is None:
            self._made = await asyncio.to_thread(self._make)
        await self._made(scope, receive, send)


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), media_type="application/json")


def _failed(error: Exception, path: str, now: float) -> Response:
    """The provider's body for an answer that is no success."""
    match error:
        case ProviderError():
            problem = error
        case RecursionError():
            problem = ProviderError(400, "Body is nested too deeply")
        case _:
            print(f"meter sandbox: {path}: {error}", file=sys.stderr)  # noqa: T201  # the operator must see it
            problem = ProviderError(500, "Internal server error")
    answer = Answer.of(problem.status, problem.body(path, now))
    return Response(answer.body, answer.status, problem.headers, media_type="application/json")


async def _unknown_path(request: Request, _: Exception) -> Response:
    problem = ProviderError(404, f"Cannot {request.method} {request.url.path}")
    return _failed(problem, request.url.path, 0.0)


async def _our_mistake(request: Request, error: Exception) -> Response:
    """The provider's 500 for what nobody has foreseen; Starlette raises it further, but nobody there tells of it."""
    if not isinstance(error, ConnectionCutError):  # which only a server is missing for
        traceback.print_exception(error)
    return _failed(ProviderError(500, "Internal server error"), request.url.path, 0.0)
