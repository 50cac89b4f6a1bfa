"""Answers a request as the fault that struck it says: before, after or halfway through what it would have done."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from meter.sandbox.bookkeeping.usages import Usage
from meter.sandbox.faults.fault_list import Fault, Faults
from meter.sandbox.rest.authentication import rejected
from meter.sandbox.rest.calls import Answer, Call, Handler
from meter.sandbox.rest.errors import Issue, ProviderError, invalid
from meter.sandbox.rest.shapes import custom
from meter.sandbox.usage.recording import Recorder


class ConnectionCutError(Exception):
    """The request gets no answer: its connection is to be reset."""


class FaultError(ProviderError):
    """A status that a fault answers with, which no route decided upon."""


MALFORMED = Answer(200, b'{"success":tr')
"""Half a body."""


class StoppedError(ConnectionCutError):
    """The server stops while a fault was letting a request wait."""


class Connection(Protocol):
    """What a fault must know about the client."""

    async def gone(self) -> None:
        """Return once the client has closed or lost the connection."""


@dataclass(frozen=True, slots=True)
class Route:
    """One of the provider's routes; `usages` reads its events if it records any, `many` of them or one."""

    handler: Handler
    usages: Callable[[bytes, float], Sequence[Usage]] | None = None
    many: bool = False


class Striker:
    """Stands between the network and the routes. `stopping` ends all waiting."""

    def __init__(self, faults: Faults, recorder: Recorder, stopping: asyncio.Event) -> None:
        self._faults = faults
        self._recorder = recorder
        self._stopping = stopping

    async def answer(self, call: Call, route: Route, connection: Connection, paths: Sequence[str] = ()) -> Answer:
        """The route's answer, or what a fault makes of it; `paths` are those that it is struck under, else its own.

        Raises ProviderError, FaultError among them, and ConnectionCutError.
        """
        seconds, fault = self._faults.strike(paths or (call.path,), lambda fault: _applies(fault, call, route))
        if seconds:
            await self._unless_stopped(asyncio.sleep(seconds))
        if fault is None:
            return route.handler(call)
        if fault.kind == "late_commit":
            await self._unless_stopped(connection.gone())
            await self._unless_stopped(asyncio.sleep(fault.seconds or 0.0))
        return self._strike(fault, call, route)

    def _strike(self, fault: Fault, call: Call, route: Route) -> Answer:
        match fault.kind:
            case "status":
                raise _status(fault)
            case "body_limit":
                raise FaultError(413, "request entity too large")
            case "reject_key":
                raise _as_fault(rejected())
            case "reject_event":
                raise _refused(fault, call, route)
            case "partial_insert":
                self._insert_first(fault.inserted or 0, call, route)
                raise ProviderError(500, "Internal server error")
            case "cut_before_commit":
                raise ConnectionCutError
            case _:
                return _after(fault, route.handler(call))

    def _insert_first(self, count: int, call: Call, route: Route) -> None:
        if route.usages is not None:
            self._recorder.keep(call, route.usages(call.body, call.now)[:count])

    async def _unless_stopped(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Wait for something, but not longer than the server runs. Raises StoppedError."""
        tasks = {asyncio.create_task(waiting), asyncio.create_task(self._stopping.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        if self._stopping.is_set():
            raise StoppedError


def _after(fault: Fault, answer: Answer) -> Answer:
    """What the client gets although the request was carried out."""
    match fault.kind:
        case "status_after_commit":
            raise _status(fault)
        case "malformed":
            return MALFORMED
        case "wrong_results":
            return _one_result_less(answer)
        case _:
            raise ConnectionCutError


def _applies(fault: Fault, call: Call, route: Route) -> bool:
    match fault.kind:
        case "body_limit":
            return len(call.body) > (fault.bytes or 0)
        case "reject_event":
            return bool(_unwanted(fault, call, route))
        case "partial_insert":
            return route.usages is not None
        case _:
            return True


def _unwanted(fault: Fault, call: Call, route: Route) -> list[int]:
    """Indices of the events that a `reject_event` fault refuses; none when the body is refused anyway."""
    if route.usages is None:
        return []
    try:
        usages = route.usages(call.body, call.now)
    except ProviderError:
        return []
    customers = frozenset(fault.customers or ())
    return [index for index, usage in enumerate(usages) if usage.customer_ref in customers]


def _refused(fault: Fault, call: Call, route: Route) -> ProviderError:
    if fault.named is False:
        return ProviderError(400, "Validation failed")
    issues: list[Issue] = [
        custom(("events", index, "customerRef") if route.many else ("customerRef",), "Customer is not accepted")
        for index in _unwanted(fault, call, route)
    ]
    return invalid(issues)


def _as_fault(error: ProviderError) -> FaultError:
    return FaultError(error.status, error.message, headers=error.headers)


def _status(fault: Fault) -> FaultError:
    status = fault.status or 500
    headers = {}
    if fault.retry_after_seconds is not None:
        headers["retry-after"] = str(fault.retry_after_seconds)
    if fault.message is None and status == 401:
        return _as_fault(rejected())
    return FaultError(status, fault.message or _WORDS.get(status, "Fault injected by the sandbox"), headers=headers)


_WORDS = {
    429: "Too many requests",
    500: "Internal server error",
    502: "Bad gateway",
    503: "Service unavailable",
    504: "Gateway timeout",
}


def _one_result_less(answer: Answer) -> Answer:
    """A bulk answer without its last result, a list without its last entry; any other answer without its `success`."""
    body = msgspec.json.decode(answer.body)
    if isinstance(body, list):
        body = body[:-1]
    elif isinstance(body.get("results"), list):
        body["results"] = body["results"][:-1]
    else:
        body.pop("success", None)
    return Answer.of(answer.status, body)
