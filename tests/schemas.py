"""Checks JSON values against the few words of JSON Schema that the provider's description uses."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
}


def faults(value: Any, schema: Schema, path: str = "$") -> Iterator[str]:
    """What of `value` breaks `schema`, each with its place."""
    if "anyOf" in schema:
        if all(any(faults(value, each, path)) for each in schema["anyOf"]):
            yield f"{path}: fits none of {len(schema['anyOf'])}"
        return
    if value is None and schema.get("nullable"):
        return
    expected = schema.get("type")
    if expected and (not isinstance(value, TYPES[expected]) or (isinstance(value, bool) and expected != "boolean")):
        yield f"{path}: {value!r} is no {expected}"
        return
    yield from _bounds(value, schema, path)
    if isinstance(value, dict):
        yield from _members(value, schema, path)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from faults(item, schema["items"], f"{path}[{index}]")


def _bounds(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        yield f"{path}: too short"
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{path}: {value} is out of bounds"


def _members(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    yield from (f"{path}.{name}: missing" for name in schema.get("required", []) if name not in value)
    for name, member in value.items():
        yield from faults(member, properties.get(name, {}), f"{path}.{name}")


def closed(schema: Any) -> Any:
    """The schema without room for members that it does not name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: closed(each) for name, each in schema.items()}
    named = schema.get("type") == "object" and "properties" in schema
    return {**inside, "additionalProperties": False} if named else inside
