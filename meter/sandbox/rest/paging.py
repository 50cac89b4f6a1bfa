"""Pages of lists: `?limit=&offset=`, held within bounds instead of refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError

DEFAULT_LIMIT = 50
MAX_LIMIT = 100


def page(name: str, entries: Sequence[Any], query: Mapping[str, str]) -> Answer:
    """`{name: [...], total, limit, offset}`; what is no whole number means the default."""
    limit = min(max(_whole(query.get("limit"), DEFAULT_LIMIT), 1), MAX_LIMIT)
    offset = _whole(query.get("offset"), 0)
    return Answer.of(
        200, {name: entries[offset : offset + limit], "total": len(entries), "limit": limit, "offset": offset}
    )


def whole_number(call: Call, name: str, default: int) -> int:
    """A number of a control's query, below 10**15; the default when it is missing. Raises ProviderError (400)."""
    text = call.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ProviderError(400, f"{name} must be a whole number, not {text!r}")
    return int(text)


def _whole(text: str | None, default: int) -> int:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 15:
        return default
    return int(text)
