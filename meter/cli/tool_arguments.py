"""What a tool is given, from the words of a command line: JSON objects and `key=value`, read as its schema says."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from meter.errors import UserMistake


def read_arguments(words: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments in these words. Raises UserMistake for a word that is neither, and for one that comes twice."""
    arguments: dict[str, Any] = {}
    for word in words:
        given = _object(word) if word.lstrip().startswith("{") else _pair(word, schema)
        for name, value in given.items():
            if name in arguments:
                raise UserMistake(f"{name} is given twice")
            arguments[name] = value
    return arguments


def _object(word: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(word, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UserMistake(f"not a JSON object: {word[:80]} ({error})") from None


def _pair(word: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise UserMistake(f"{word[:80]} is neither key=value nor a JSON object")
    return {name: text if _is_text(schema, name) else _value(text)}


def _value(text: str) -> Any:
    """Numbers, true, false, null, lists and objects; any other text is itself."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return text


def _is_text(schema: Mapping[str, Any], name: str) -> bool:
    """Whether the schema has nothing but text for this name, so that 007 stays 007."""
    properties = schema.get("properties")
    kinds = _kinds(properties.get(name)) if isinstance(properties, Mapping) else set()
    return bool(kinds) and kinds <= {"string", "null"}


def _kinds(schema: object) -> set[str]:
    """The JSON types that a schema allows at its top; empty when it does not say."""
    if not isinstance(schema, Mapping):
        return set()
    kind = schema.get("type")
    kinds = {kind} if isinstance(kind, str) else {each for each in kind or () if isinstance(each, str)}
    for alternatives in (schema.get("anyOf"), schema.get("oneOf")):
        for each in alternatives or ():
            kinds |= _kinds(each) or {"anything"}
    return kinds
