"""One request as a route sees it, and one answer as it goes back: plain values, so that routes are plain functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from meter.sandbox.rest.errors import ProviderError

SANDBOX, LIVE = 0, 1
"""The two environments of a provider; the key's prefix chooses, and their data never mix."""

ENVIRONMENTS = {"sandbox": SANDBOX, "live": LIVE}
"""What the controls call them."""


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated request; `now` is Unix seconds, `environment` SANDBOX or LIVE; header names are lower case."""

    environment: int
    path: str
    body: bytes
    now: float
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> object:
        """The body as JSON values; no body means `{}`, as for the provider. Raises ProviderError (400)."""
        return decode(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body, ready to send."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, value: object) -> "Answer":
        """An answer with `value` as its JSON."""
        return cls(status, msgspec.json.encode(value))


Handler = Callable[[Call], Answer]
"""What stands behind one route. Raises ProviderError for every answer that is no success."""


def decode(body: bytes) -> object:
    """`body` as JSON values, `{}` when empty. Raises ProviderError (400) for everything that is not JSON."""
    if not body:
        return {}
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise ProviderError(400, f"Body is not valid JSON: {error}") from error
