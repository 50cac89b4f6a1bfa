"""Checks fields of JSON objects one by one and says what is wrong the way the provider's schema library does."""

from collections.abc import Mapping, Sequence
from typing import Any

from meter.sandbox.rest.errors import Issue, invalid

Path = tuple[str | int, ...]

MAX_WHOLE = 2**53
"""Beyond it, the provider's numbers are no longer whole."""


def utf16_units(text: str) -> int:
    """The length of `text` as the provider (JavaScript) counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def whole(value: float) -> int | float:
    """The number as JavaScript writes it: a whole one without a point, which strict readers would not take for one."""
    return int(value) if abs(value) <= MAX_WHOLE and value == int(value) else float(value)


def kind_of(value: object) -> str:
    """JavaScript's word for the type of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def wrong_type(path: Path, expected: str, received: str) -> Issue:
    """The issue of a value of another type; `received` is `undefined` when there is none."""
    message = "Required" if received == "undefined" else f"Expected {expected}, received {received}"
    return {"code": "invalid_type", "expected": expected, "received": received, "path": list(path), "message": message}


def custom(path: Path, message: str) -> Issue:
    """An issue that no code of the schema library fits."""
    return {"code": "custom", "path": list(path), "message": message}


class Reading:
    """Takes fields out of one JSON object; each method returns the value, or None when it is absent or wrong.

    What is wrong is collected in `issues`; unknown fields are ignored; null is not the same as absent.
    """

    def __init__(self, data: object, path: Path = (), issues: list[Issue] | None = None) -> None:
        self.path = path
        self.issues: list[Issue] = [] if issues is None else issues
        self.data: Mapping[str, Any] = data if isinstance(data, dict) else {}
        if not isinstance(data, dict):
            self.issues.append(wrong_type(path, "object", kind_of(data)))

    def done(self) -> None:
        """Raise the 400 if anything was wrong."""
        if self.issues:
            raise invalid(self.issues)

    def text(
        self, name: str, *, required: bool = False, min_length: int = 0, max_length: int | None = None
    ) -> str | None:
        """A string within bounds that are UTF-16 units."""
        value = self._take(name, "string", required=required)
        if not isinstance(value, str):
            return None
        length = utf16_units(value)
        if length < min_length:
            self._bound(name, "too_small", "string", min_length)
            return None
        if max_length is not None and length > max_length:
            self._bound(name, "too_big", "string", max_length)
            return None
        return value

    def number(self, name: str, *, low: float | None = None, required: bool = False) -> float | None:
        """A finite number, at least `low`."""
        value = self._take(name, "number", required=required)
        if value is None:
            return None
        if abs(value) > 1.7e308:
            self.issues.append(custom((*self.path, name), "Number must be finite"))
            return None
        if low is not None and value < low:
            self._bound(name, "too_small", "number", low)
            return None
        return whole(value)

    def integer(self, name: str, low: int, high: int, *, required: bool = False) -> int | None:
        """An integer within bounds; `1.0` is one, since the provider's numbers are JavaScript's."""
        value = self._take(name, "number", required=required)
        if value is None:
            return None
        if isinstance(value, float) and not value.is_integer():
            self.issues.append(wrong_type((*self.path, name), "integer", "float"))
            return None
        if value < low:
            self._bound(name, "too_small", "number", low)
            return None
        if value > high:
            self._bound(name, "too_big", "number", high)
            return None
        return int(value)

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        """One of `options`."""
        value = self._take(name, "string")
        if value is None or value in options:
            return value  # type: ignore[no-any-return]  # _take has checked that it is a string
        quoted = " | ".join(f"'{option}'" for option in options)
        self.issues.append(
            {
                "code": "invalid_enum_value",
                "options": list(options),
                "received": value,
                "path": [*self.path, name],
                "message": f"Invalid enum value. Expected {quoted}, received '{value}'",
            }
        )
        return None

    def mapping(self, name: str) -> dict[str, Any] | None:
        """A JSON object with anything in it."""
        return self._take(name, "object")  # type: ignore[no-any-return]  # _take has checked that it is a dict

    def array(self, name: str, *, required: bool = False) -> list[Any] | None:
        """A JSON array with anything in it."""
        return self._take(name, "array", required=required)  # type: ignore[no-any-return]  # _take has checked that it is a list

    def flag(self, name: str) -> bool | None:
        """True or false."""
        return self._take(name, "boolean")  # type: ignore[no-any-return]  # _take has checked that it is a bool

    def _take(self, name: str, expected: str, *, required: bool = False) -> Any:
        if name not in self.data:
            if required:
                self.issues.append(wrong_type((*self.path, name), expected, "undefined"))
            return None
        value = self.data[name]
        received = kind_of(value)
        if received != expected:
            self.issues.append(wrong_type((*self.path, name), expected, received))
            return None
        return value

    def _bound(self, name: str, code: str, kind: str, bound: float) -> None:
        side, word = ("minimum", "at least") if code == "too_small" else ("maximum", "at most")
        unit = " character(s)" if kind == "string" else ""
        told = str(bound).removesuffix(".0")
        verb = "contain" if kind == "string" else "be"
        message = f"{kind.capitalize()} must {verb} {word} {told}{unit}"
        path = [*self.path, name]
        self.issues.append(
            {"code": code, side: bound, "type": kind, "inclusive": True, "path": path, "message": message}
        )
