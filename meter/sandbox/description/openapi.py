"""`/openapi.json`: the sandbox described by itself, from its routes, what each says of itself, and `operations.py`."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from meter.sandbox.description.answers import SHOWN
from meter.sandbox.description.operations import OPERATIONS, Operation
from meter.sandbox.description.schemas import SOME_TEXT, Schema, ref
from meter.sandbox.rest.calls import Answer, Call, Handler
from meter.sandbox.rest.errors import phrase
from meter.sandbox.routes import Entry

_ABOUT = """\
The billing provider in a box: what the sandbox takes and answers under /v1/sdk, fault injection apart. Members that a
body does not need are ignored. A key that begins with sk_live_ opens one world, every other key another one.
"""
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Any key that is not empty, unless one was set"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class OpenApi:
    """The route; whoever asks, for the document holds nothing that was recorded."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = list(entries)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler."""
        return [("GET", "/openapi.json", self.show)]

    def show(self, _: Call) -> Answer:
        """The document."""
        return Answer.of(200, document(self._entries))


def document(entries: Iterable[Entry]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes. A route without an entry in OPERATIONS is left out."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, route in entries:
        operation = OPERATIONS.get(f"{method} {path}")
        if operation is not None:
            paths.setdefault(path, {})[method.lower()] = _described(path, route.handler, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Provider sandbox", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in _SCHEMES],
        "paths": paths,
        "components": {"securitySchemes": _SCHEMES, "schemas": SHOWN},
    }


def _described(path: str, handler: Callable[..., Any], operation: Operation) -> dict[str, Any]:
    described = {
        "operationId": re.sub(r"\W+", "_", handler.__qualname__).lower(),
        "tags": [path.removeprefix("/v1/").removeprefix("sdk/").split("/")[0]],
        "summary": handler.__qualname__.replace(".", ": ").replace("_", " "),
        "description": _promise(handler),
        "parameters": list(_parameters(path, operation)),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {"content": _json(operation.body), "required": bool(operation.body.get("required"))}
    return described


def _promise(handler: Callable[..., Any]) -> str:
    """What the handler says of itself, without the method and path that its docstring begins with."""
    promise = (handler.__doc__ or "").strip().split("\n", 1)[0]
    said = re.sub(r"^`[^`]*`[:.]? *", "", promise).removesuffix(".")
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _parameters(path: str, operation: Operation) -> Iterator[dict[str, Any]]:
    named = dict.fromkeys(re.findall(r"\{(\w+)\}", path), SOME_TEXT)
    for where, schemas in (("path", named), ("query", operation.query), ("header", operation.headers)):
        for name, schema in schemas.items():
            required = where == "path" or name in operation.required
            yield {"name": name, "in": where, "required": required, "schema": schema}


def _responses(operation: Operation) -> Mapping[str, Any]:
    refused = {401, *operation.refuses, *([400] if operation.body is not None else [])}
    responses = {operation.status: _response(phrase(operation.status), ref(operation.answers))}
    responses |= {status: _response(phrase(status), _error(status, operation)) for status in sorted(refused)}
    return {str(status): response for status, response in responses.items()}


def _error(status: int, operation: Operation) -> Schema:
    names = {400: ("ValidationFailed", "Error"), 404: operation.not_found}.get(status, ("Error",))
    return ref(names[0]) if len(names) == 1 else {"anyOf": [ref(name) for name in names]}


def _response(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": _json(schema)}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
