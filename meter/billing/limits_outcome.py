"""What the provider's answer to one limits question means.

As with bulk calls, trouble is a value: a transport answers with one of these and raises nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from meter.pipeline.outcome import Refusal


@dataclass(frozen=True, slots=True)
class LimitsAnswer:
    """200 with the provider's JSON: at least `withinLimits` (bool) and `remaining` (number)."""

    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LimitsNotFound:
    """404, 409 or 422 in the provider's error form: the customer or the product does not exist."""

    detail: str


@dataclass(frozen=True, slots=True)
class LimitsInvalid:
    """400 in the provider's error form: the question itself is wrong."""

    detail: str


@dataclass(frozen=True, slots=True)
class LimitsRefused:
    """The key or the address is wrong; nobody's question will be answered until that is fixed."""

    reason: Refusal
    detail: str


@dataclass(frozen=True, slots=True)
class LimitsUnavailable:
    """408, 429, 5xx, timeout, no connection, or a cut answer: asking again later is right."""

    detail: str
    retry_after_seconds: float | None = None
    """From `Retry-After` (seconds or date), uncapped; None when absent."""


LimitsOutcome = LimitsAnswer | LimitsNotFound | LimitsInvalid | LimitsRefused | LimitsUnavailable
