"""Pages of lists: `?limit=&offset=`, held within bounds instead of refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from meter.sandbox.calls import Answer

DEFAULT_LIMIT = 50
MAX_LIMIT = 100


def page(name: str, entries: Sequence[Any], query: Mapping[str, str]) -> Answer:
    """`{name: [...], total, limit, offset}`; what is no whole number means the default."""
    limit = min(max(_whole(query.get("limit"), DEFAULT_LIMIT), 1), MAX_LIMIT)
    offset = _whole(query.get("offset"), 0)
    return Answer.of(
        200, {name: entries[offset : offset + limit], "total": len(entries), "limit": limit, "offset": offset}
    )


def _whole(text: str | None, default: int) -> int:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 15:
        return default
    return int(text)
