"""What the provider's answer to one bulk call means for the events in it.

Partial failure is a value: a transport answers with one of these and raises nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Accepted:
    """200 with exactly one result per event, in request order."""

    references: Sequence[str]
    """The provider's reference of each event."""
    undebited: Mapping[int, str] = field(default_factory=dict)
    """Index -> `creditDebit.reason` where `debited` is false (`duplicate` included)."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """400: the events themselves are refused. `named` says which (index -> why); empty: the answer names none."""

    named: Mapping[int, str]
    detail: str


@dataclass(frozen=True, slots=True)
class UnknownCustomer:
    """404, 409 or 422 in the provider's error form that speaks of a customer or event, without an index."""

    detail: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """413: the body is larger than the provider takes."""


class Refusal(StrEnum):
    """Why the provider refuses us altogether."""

    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403
    WRONG_ADDRESS = "wrong_address"  # any other 4xx, a redirect, or an answer that is not the provider's JSON


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is wrong with the events: the key or the address is. Everything waits until that is fixed."""

    reason: Refusal
    detail: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """408, 429, 5xx, timeout, reset, cut, no connection, or 200 without one result per event."""

    detail: str
    outcome_unknown: bool
    """True (timeout, reset, cut, 408, 500, 502, 504, short 200): the provider may have inserted, or still be at it."""
    retry_after_seconds: float | None = None
    """From `Retry-After` (seconds or date), uncapped; None when absent."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The lease ended before the request was complete: the provider has nothing of it."""


Outcome = Accepted | Rejected | UnknownCustomer | TooLarge | Refused | TryAgain | NotSent
