"""Failing on purpose: reads lists of faults, and decides which of them strikes a request.

status               answers `status` (300..599; with `message`, `retry_after_seconds`); nothing is done
delay                waits `seconds`, then goes on to the next fault
cut_before_commit    resets the connection; nothing is done
cut_after_commit     does it, then resets the connection
status_after_commit  does it, then answers as `status` would
late_commit          never answers; does it `seconds` after the client has gone
partial_insert       records the first `inserted` events, then answers 500
body_limit           413 for bodies of more than `bytes`
wrong_results        does it, then answers with one result too few
malformed            does it, then answers 200 with half a JSON body
reject_key           401 for a good key
reject_event         400 for events of one of `customers`, whose place is given unless `named` is false
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Annotated, Any, Literal

import msgspec

PREFIXES = ("/v1/sdk", "/mcp")


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One way to fail on one route (a `*` at its end stands for anything); without `rate` and `count`: always."""

    route: str
    kind: Literal[
        "status",
        "delay",
        "cut_before_commit",
        "cut_after_commit",
        "status_after_commit",
        "late_commit",
        "partial_insert",
        "body_limit",
        "wrong_results",
        "malformed",
        "reject_key",
        "reject_event",
    ]
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seed: int | None = None
    status: Annotated[int, msgspec.Meta(ge=300, le=599)] | None = None
    message: str | None = None
    retry_after_seconds: Annotated[int, msgspec.Meta(ge=0)] | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] | None = None
    inserted: Annotated[int, msgspec.Meta(ge=0)] | None = None
    bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    customers: Sequence[str] | None = None
    named: bool | None = None


_EVERYWHERE = {"route", "kind", "rate", "count", "seed"}
_NEEDED: dict[str, set[str]] = {
    "status": {"status"},
    "delay": {"seconds"},
    "status_after_commit": {"status"},
    "late_commit": {"seconds"},
    "partial_insert": {"inserted"},
    "body_limit": {"bytes"},
    "reject_event": {"customers"},
}
_ALLOWED: dict[str, set[str]] = {
    "status": {"message", "retry_after_seconds"},
    "status_after_commit": {"message", "retry_after_seconds"},
    "reject_event": {"named"},
}


class BadFaultsError(Exception):
    """A list of faults that means nothing; says which entry and why."""


def read_faults(body: bytes) -> list[Fault]:
    """The faults in a JSON list. Raises BadFaultsError."""
    try:
        faults = msgspec.json.decode(body, type=list[Fault])
    except (ValueError, RecursionError) as error:
        raise BadFaultsError(f"not a list of faults: {error}") from error
    for index, fault in enumerate(faults):
        _check(fault, f"fault {index} ({fault.kind})")
    return faults


def _check(fault: Fault, name: str) -> None:
    if not fault.route.startswith(PREFIXES):
        raise BadFaultsError(f"{name}: route must begin with {' or '.join(PREFIXES)}, not {fault.route!r}")
    if fault.rate is not None and fault.count is not None:
        raise BadFaultsError(f"{name}: give rate or count, not both")
    given = {field for field in Fault.__struct_fields__ if getattr(fault, field) is not None}
    needed = _NEEDED.get(fault.kind, set())
    missing = needed - given
    if missing:
        raise BadFaultsError(f"{name}: needs {', '.join(sorted(missing))}")
    unknown = given - needed - _ALLOWED.get(fault.kind, set()) - _EVERYWHERE
    if unknown:
        raise BadFaultsError(f"{name}: does not take {', '.join(sorted(unknown))}")


class _Armed:
    """A fault that is on: how often it may still strike, and how often it has."""

    def __init__(self, fault: Fault, index: int) -> None:
        self.fault = fault
        self.struck = 0
        # Seeded, so that two runs with the same requests fail at the same places.
        self._random = Random(index if fault.seed is None else fault.seed)  # noqa: S311  # no secret depends on it

    def strikes(self, paths: Sequence[str], applies: Callable[[Fault], bool]) -> bool:
        if not self._on(paths) or not applies(self.fault):
            return False
        if self.fault.rate is not None and self._random.random() >= self.fault.rate:
            return False
        self.struck += 1
        return True

    def _on(self, paths: Sequence[str]) -> bool:
        route = self.fault.route
        if self.fault.count is not None and self.struck >= self.fault.count:
            return False
        if route.endswith("*"):
            return any(path.startswith(route[:-1]) for path in paths)
        return route in paths


class Faults:
    """The faults that are on."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._armed: list[_Armed] = []
        self.replace(faults)

    def replace(self, faults: Sequence[Fault]) -> None:
        """Turn these on in place of all others, with fresh counts and seeds."""
        self._armed = [_Armed(fault, index) for index, fault in enumerate(faults)]

    def strike(self, paths: Sequence[str], applies: Callable[[Fault], bool]) -> tuple[float, Fault | None]:
        """Seconds of delay, and the fault that decides the request's fate, for a request that has these paths.

        In list order: delays add up, the first other that strikes ends the search. `applies` says whether the
        request has what the fault looks for; one that does not apply neither counts nor draws.
        """
        seconds = 0.0
        for armed in self._armed:
            if not armed.strikes(paths, applies):
                continue
            if armed.fault.kind != "delay":
                return seconds, armed.fault
            seconds += armed.fault.seconds or 0.0
        return seconds, None

    def shown(self) -> list[Mapping[str, Any]]:
        """Every fault that was turned on and how often it has `struck`."""
        return [{**msgspec.to_builtins(armed.fault), "struck": armed.struck} for armed in self._armed]
