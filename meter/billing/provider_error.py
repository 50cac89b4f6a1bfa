"""The provider's error form, and what else an answer says besides its results.

Pure: bytes in, values out. Nothing here raises, whatever the bytes.
"""

import email.utils
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

import msgspec

DETAIL_LENGTH = 200
CONCEALED = "***"

# NestJS answers so for a route that does not exist; the path may well contain "customers" or "events"
_NO_SUCH_ROUTE = re.compile(r"Cannot [A-Z]+ /")
_NAMES_CUSTOMER_OR_EVENT = re.compile(r"\b(customer|event)s?\b", re.IGNORECASE)
_NAMES_PRODUCT = re.compile(r"\bproducts?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProviderError:
    """A JSON object with `statusCode` and `message`: the provider itself answered, not something in front of it."""

    message: str
    named: Mapping[int, str]
    """Index of an event -> why it is refused, from `errors[].path`."""

    @property
    def names_customer_or_event(self) -> bool:
        """Whether it speaks of a customer or an event, and not of a route that does not exist."""
        return self._is_about(_NAMES_CUSTOMER_OR_EVENT)

    @property
    def names_customer_or_product(self) -> bool:
        """The same for a limits question."""
        return self._is_about(_NAMES_CUSTOMER_OR_EVENT) or self._is_about(_NAMES_PRODUCT)

    def _is_about(self, subject: re.Pattern[str]) -> bool:
        return _NO_SUCH_ROUTE.match(self.message) is None and subject.search(self.message) is not None


def read_error(body: bytes, events_total: int, secret: str) -> ProviderError | None:
    """The provider's error, or None when the body is not in its form."""
    answer = decode(body)
    if not isinstance(answer, dict) or type(answer.get("statusCode")) is not int or "message" not in answer:
        return None
    message = one_line(in_words(answer["message"]), secret)
    return ProviderError(message, _named(answer.get("errors"), events_total, secret))


def read_message(body: bytes, secret: str) -> str | None:
    """What a JSON answer says in words, in the provider's form or nearly so (its 401 and 403 differ); for people."""
    answer = decode(body)
    if not isinstance(answer, dict):
        return None
    said = answer.get("message") or answer.get("error")
    return one_line(in_words(said), secret) if said else None


def decode(body: bytes) -> object:
    """The JSON value; None for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def one_line(text: str, secret: str) -> str:
    """`text` as one printable line of at most 200 characters, without the secret."""
    if secret:
        text = text.replace(secret, CONCEALED)
    line = " ".join("".join(character if character.isprintable() else " " for character in text[:2000]).split())
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 3] + "..."


def retry_after_seconds(headers: Mapping[str, str], wall_seconds: float) -> float | None:
    """Seconds to wait from `Retry-After` (seconds or an HTTP date), never negative; None when absent or nonsense."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    try:
        date = email.utils.parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(date.timestamp() - wall_seconds, 0.0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def in_words(said: object, levels: int = 3) -> str:
    """NestJS puts a string, a list of strings, or an object with `code` and `message` there; no deeper than this."""
    if isinstance(said, str):
        return said
    if isinstance(said, list):
        return "; ".join(in_words(part, levels - 1) for part in said[:5]) if levels else "..."
    if isinstance(said, dict):
        parts = [said[name] for name in ("code", "message") if name in said]
        return ": ".join(in_words(part, levels - 1) for part in parts) if levels else "..."
    return str(said)


def _named(errors: object, events_total: int, secret: str) -> dict[int, str]:
    named: dict[int, str] = {}
    for error in errors if isinstance(errors, list) else []:
        path = error.get("path") if isinstance(error, dict) else None
        if not isinstance(path, list) or len(path) < 2 or path[0] != "events":
            continue
        index = path[1]
        if type(index) is int and 0 <= index < events_total and index not in named:
            field = ".".join(in_words(part, 0) for part in path[2:7])
            named[index] = one_line(": ".join(filter(None, (field, in_words(error.get("message", ""))))), secret)
    return named
