"""What tools take: parameters as data, each with its other names, and the JSON Schema that clients are shown."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Schema = dict[str, Any]


class Parameter(NamedTuple):
    """One parameter of a tool: `others` are shown to clients beside `name`, `also` is understood but not shown."""

    name: str
    schema: Schema
    others: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    required: bool = False


def text(description: str, **more: Any) -> Schema:
    """The schema of a string."""
    return {"type": "string", "description": description, **more}


def number(kind: str, description: str, **more: Any) -> Schema:
    """The schema of an `integer` or a `number`."""
    return {"type": kind, "description": description, **more}


def mapping(description: str) -> Schema:
    """The schema of an object with anything in it."""
    return {"type": "object", "description": description}


def schema(parameters: Sequence[Parameter], *, strict: bool = False) -> Schema:
    """The schema of an object with these members, under all shown names, or if `strict` under the first only.

    A member that has two names cannot be listed as required without refusing the other; its description says it.
    """
    shown: dict[str, Schema] = {}
    for parameter in parameters:
        others = () if strict else parameter.others
        shown[parameter.name] = _described(parameter, others)
        for other in others:
            kind = {name: value for name, value in parameter.schema.items() if name != "description"}
            shown[other] = {**kind, "description": f"The same as {parameter.name}."}
    required = [each.name for each in parameters if each.required and (strict or not each.others)]
    return {"type": "object", "properties": shown, **({"required": required} if required else {})}


def _described(parameter: Parameter, others: Sequence[str]) -> Schema:
    need = " Required." if parameter.required else ""
    also = f" Also as {', '.join(others)}." if others else ""
    return {**parameter.schema, "description": f"{parameter.schema['description']}{need}{also}"}


def other_names(parameters: Sequence[Parameter]) -> Mapping[str, str]:
    """Every other name that is understood, and what it stands for."""
    return {other: each.name for each in parameters for other in (*each.others, *each.also)}
