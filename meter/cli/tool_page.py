"""Tools and their answers as text: readable lines, nothing in them that could steer a terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import mcp_types as types

REQUIRED_MARK = "*"


def listing(tools: Sequence[types.Tool], url: str) -> Iterator[str]:
    """Every tool with its description and its parameters; a mark is at those that are required."""
    yield f"{len(tools)} {'tool' if len(tools) == 1 else 'tools'} at {url} ({REQUIRED_MARK} required)"
    for tool in tools:
        yield ""
        yield f"{_line(tool.name)}  {_line(tool.description or '')}".rstrip()
        yield from _parameters(tool.input_schema)


def _parameters(schema: Mapping[str, Any]) -> Iterator[str]:
    properties = schema.get("properties")
    required = set(schema.get("required") or ())
    rows = [
        (_line(name) + (REQUIRED_MARK if name in required else ""), _kind(each), _line(_description(each)))
        for name, each in (properties if isinstance(properties, Mapping) else {}).items()
    ]
    name_width = max((len(name) for name, _, _ in rows), default=0)
    kind_width = max((len(kind) for _, kind, _ in rows), default=0)
    for name, kind, description in rows:
        yield f"  {name:<{name_width}}  {kind:<{kind_width}}  {description}".rstrip()


def _description(schema: object) -> str:
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def _kind(schema: object) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    kind = schema.get("type")
    if isinstance(kind, list):
        return _line("|".join(map(str, kind)))
    choices = schema.get("anyOf") or schema.get("oneOf")
    if kind is None and isinstance(choices, list):
        return "|".join(_kind(each) for each in choices)
    return _line(str(kind or "any"))


def problem(result: types.CallToolResult) -> str | None:
    """Why the tool failed, in one line; None when it did not."""
    said = _said(result)
    error = said.get("error") if isinstance(said, Mapping) and said.get("success") is False else None
    if error is None and not result.is_error:
        return None
    told = said if error is None else error
    if isinstance(told, Mapping) and "message" in told:
        code = f"{told['code']}: " if "code" in told else ""
        return _line(f"{code}{told['message']}")
    return _line(told if isinstance(told, str) else json.dumps(told)) or "no reason given"


def answer(result: types.CallToolResult) -> Iterator[str]:
    """What the tool found, without the envelope around it."""
    said = _said(result)
    data = said["data"] if isinstance(said, Mapping) and said.get("success") is True and "data" in said else said
    yield from _lines(data, "")


def _said(result: types.CallToolResult) -> Any:
    """The structured content, else the JSON in the text, else the text."""
    if result.structured_content is not None:
        return result.structured_content
    text = "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _lines(value: Any, indent: str) -> Iterator[str]:
    """Members on lines of their own, what is inside them indented."""
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _member(f"{indent}{_line(str(name))}:", each, indent)
    elif isinstance(value, list) and value:
        for each in value:
            first, *more = _lines(each, f"{indent}  ")
            yield f"{indent}- {first[len(indent) + 2 :]}"
            yield from more
    elif isinstance(value, str):
        yield from (f"{indent}{_line(line)}" for line in value.splitlines() or [""])
    else:
        yield f"{indent}{_scalar(value)}"


def _member(label: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list) and value:
        yield label
        yield from _lines(value, f"{indent}  ")
    else:
        yield f"{label} {_scalar(value)}"


def _scalar(value: Any) -> str:
    return _line(value) if isinstance(value, str) else json.dumps(value)


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
