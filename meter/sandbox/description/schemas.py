"""A few words to write JSON Schemas with; and schemas taken from the structs that the sandbox works with."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
SOME_TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
INTEGER: Schema = {"type": "integer"}
FIGURE: Schema = {"type": "number"}
NUMBER: Schema = {"type": "number", "minimum": -1.7e308, "maximum": 1.7e308}
SOME_NUMBER: Schema = {**NUMBER, "minimum": 0}
MONEY: Schema = {**FIGURE, "description": "In minor units"}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object; members that it does not name are allowed, for they are ignored."""
    schema: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    return {**schema, "required": list(required)} if required else schema


def array(of: Schema, **bounds: int) -> Schema:
    """A list; `bounds` are minItems and maxItems."""
    return {"type": "array", "items": of, **bounds}


def choice(options: Sequence[str]) -> Schema:
    """One of a few words."""
    return {"type": "string", "enum": list(options)}


def integer(low: int, high: int) -> Schema:
    """A whole number within bounds; `1.0` is one."""
    return {"type": "integer", "minimum": low, "maximum": high}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """A schema that the document has under a name."""
    return {"$ref": f"#/components/schemas/{name}"}


def of_struct(struct: type[msgspec.Struct], **more: Schema) -> Schema:
    """The struct's members as they appear in JSON, where None means absent; `more` are required, or say it better."""
    (_,), components = msgspec.json.schema_components([struct])
    schema = components[struct.__name__]
    members = {name: _without_null(member) for name, member in schema["properties"].items()}
    required = [*schema["required"], *(name for name in more if name not in members)]
    return {"type": "object", "properties": {**members, **more}, "required": required}


def _without_null(member: Schema) -> Schema:
    kept = {name: value for name, value in member.items() if name != "default"}
    options = [option for option in kept.pop("anyOf", []) if option != {"type": "null"}]
    return {**kept, **options[0]} if len(options) == 1 else kept
