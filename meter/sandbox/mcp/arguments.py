"""The arguments of a tool become the request of its route: in first names, `failure` and `error` read as `fail`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from meter.sandbox.mcp.parameters import other_names
from meter.sandbox.mcp.tools import ENDPOINT, Tool
from meter.sandbox.rest.calls import Call
from meter.sandbox.rest.errors import Issue, ProviderError
from meter.sandbox.rest.shapes import Reading, custom

_FAILED = ("failure", "error")
_USAGE_TOOLS = ("record_usage", "record_bulk_usage")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is, and when: `now` is Unix seconds."""

    environment: int
    now: float
    headers: Mapping[str, str] = field(default_factory=dict)


def call_of(tool: Tool, arguments: Mapping[str, Any], caller: Caller, *, strict: bool = False) -> Call:
    """The request that `tool` stands for; unknown arguments are ignored, other names unless `strict` understood.

    Raises ProviderError (400) for two names of one thing that differ, and for what is missing from path or query.
    """
    issues: list[Issue] = []
    # What reads events knows their other names, and what else they mean.
    usage = tool.name in _USAGE_TOOLS
    fields = _usage(arguments) if usage else _canonical(tool, arguments, issues, strict=strict)
    if tool.name == "check_limits":
        fields["includeCheckoutSession"] = True
    body = _encoded(fields)
    reading = Reading(fields, (), issues)
    in_path = {} if tool.path_name is None else {tool.path_field: _required(reading, tool.path_name)}
    in_query = {} if tool.query_name is None else _chosen(reading, tool, tool.query_name)
    reading.done()
    return Call(caller.environment, path_of(tool, in_path), body, caller.now, in_path, in_query, caller.headers)


def path_of(tool: Tool, in_path: Mapping[str, str]) -> str:
    """The path of the route that does the same, or the tool's own."""
    if tool.twin is None:
        return f"{ENDPOINT}/{tool.name}"
    path = tool.twin[1]
    for name, value in in_path.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def _usage(arguments: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(arguments)
    for name in ("events", "records"):
        if isinstance(fields.get(name), list):
            fields[name] = [_with_outcome(event) for event in fields[name]]
    return fields if fields.get("outcome") not in _FAILED else {**fields, "outcome": "fail"}


def _with_outcome(event: Any) -> Any:
    """The event; `failure` and `error` are the words of other clients for `fail`, which only MCP takes."""
    if isinstance(event, dict) and event.get("outcome") in _FAILED:
        return {**event, "outcome": "fail"}
    return event


def _canonical(tool: Tool, arguments: Mapping[str, Any], issues: list[Issue], *, strict: bool) -> dict[str, Any]:
    fields = {each.name: arguments[each.name] for each in tool.parameters if each.name in arguments}
    if strict:
        return fields
    for other, name in other_names(tool.parameters).items():
        if other in arguments and fields.setdefault(name, arguments[other]) != arguments[other]:
            issues.append(custom((other,), f"{other} and {name} differ"))
    return fields


def _encoded(fields: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except (ValueError, OverflowError, RecursionError) as error:  # half a character, 30 digits, 1000 levels
        raise ProviderError(400, f"Arguments cannot be read as JSON: {error!a}") from error


def _required(reading: Reading, name: str) -> str:
    return reading.text(name, required=True, min_length=1) or ""


def _chosen(reading: Reading, tool: Tool, name: str) -> dict[str, str]:
    (options,) = (each.schema["enum"] for each in tool.parameters if each.name == name)
    chosen = reading.choice(name, options)
    return {} if chosen is None else {name: chosen}
