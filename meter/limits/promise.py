"""What may be promised from a snapshot: the provider's numbers minus the usage it may not have seen (pure).

Limited plans count units of the product. Credits belong to the customer, so there the pending usage of all his
products is summed in credits.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

UNLIMITED = 999_999
"""`remaining` of a plan without a limit; it is never counted down."""


class Numbers(NamedTuple):
    """The part of the provider's answer that meter reckons with."""

    within_limits: bool
    remaining: float
    credit_balance: float | None
    credits_per_unit: float | None
    """None: the answer does not say; 0: usage of this product takes no credits."""


class Promise(NamedTuple):
    """What the customer is told."""

    within_limits: bool
    remaining: float


def read(body: Mapping[str, Any]) -> Numbers | None:
    """The numbers of a provider's answer; None when it is not one."""
    within, remaining = body.get("withinLimits"), _number(body.get("remaining"))
    if not isinstance(within, bool) or remaining is None:
        return None
    inner = body.get("balance")
    places = [body, inner] if isinstance(inner, dict) else [body]
    balance = _first_number(places, "creditBalance")
    price = _first_number(places, "creditsPerUnit")
    if price is None and balance is None:
        price = 0
    return Numbers(within, remaining, balance, price)


def needs_prices(numbers: Numbers) -> bool:
    """Usage of the customer's other products lessens this answer too."""
    return numbers.credit_balance is not None and 0 < numbers.remaining != UNLIMITED


def reduce(numbers: Numbers, pending_units: int, pending_credits: float) -> Promise:
    """Never more than the snapshot minus what is pending, and never below 0.

    What the provider blocks stays as it said: there is nothing left to take away. `pending_credits` is over all
    products of the customer, this one included.
    """
    remaining = numbers.remaining
    if remaining == UNLIMITED or remaining <= 0:
        return Promise(numbers.within_limits, remaining)
    left = remaining - pending_units
    if numbers.credit_balance is not None and numbers.credits_per_unit:
        left = min(left, (numbers.credit_balance - pending_credits) // numbers.credits_per_unit)
    left = max(left, 0)
    return Promise(numbers.within_limits and left > 0, left)


def rewrite(raw_body: bytes, promise: Promise, meter: Mapping[str, Any]) -> dict[str, Any]:
    """The provider's body with our promise in place of its own, and the `meter` object.

    `creditBalance` stays as the provider keeps it: it is the account, `remaining` is the promise.
    """
    body: dict[str, Any] = msgspec.json.decode(raw_body)
    body["withinLimits"] = promise.within_limits
    body["remaining"] = promise.remaining
    inner = body.get("balance")
    if isinstance(inner, dict) and _number(inner.get("remainingUnits")) is not None:
        inner["remainingUnits"] = min(inner["remainingUnits"], promise.remaining)
    body["meter"] = meter
    return body


def _first_number(places: list[Mapping[str, Any]], name: str) -> float | None:
    return next((number for place in places if (number := _number(place.get(name))) is not None), None)


def _number(value: object) -> float | None:
    """A finite JSON number, an int kept as an int; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
