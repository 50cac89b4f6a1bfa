"""The event as the provider takes it: canonical names, the bounds of each field, JSON in and out."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from meter.pipeline.rules import Rule, Unbillable, broken

ActionType = Literal["transaction", "api_call", "hour", "email", "storage", "custom"]
ACTION_TYPES: Final = frozenset(("transaction", "api_call", "hour", "email", "storage", "custom"))
Outcome = Literal["success", "paywall", "fail"]
Units = Annotated[int, Meta(ge=0, le=100_000)]
NonEmpty = Annotated[str, Meta(min_length=1)]
NotNegative = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Body(msgspec.Struct, gc=False, eq=False, kw_only=True, rename="camel"):
    """One usage event in the provider's own words. Defaults are written out; UNSET is not written."""

    customer_ref: NonEmpty
    product_ref: str | UnsetType = UNSET
    purchase_ref: str | UnsetType = UNSET
    action_type: ActionType = "api_call"
    units: Units = 1
    outcome: Outcome = "success"
    idempotency_key: str | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET
    duration: NotNegative | UnsetType = UNSET
    description: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class CompleteBody(Body, gc=False, eq=False, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A body that says everything itself, so that its JSON can be sent as it came.

    Unknown fields are forbidden because they may be other spellings, which `dialect` reads.
    """

    product_ref: NonEmpty | UnsetType = UNSET
    action_type: ActionType
    units: Units
    outcome: Outcome
    # Characters; at most as many as fit the provider's 256 UTF-16 units whatever they are.
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=128)]
    timestamp: str
    # Flat, and no number that overflows a double: nothing is left to look at more closely.
    duration: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    metadata: dict[str, str | Int64 | float | bool | None] | UnsetType = UNSET


read_complete = msgspec.json.Decoder(CompleteBody).decode
"""The body in JSON that needs neither translation nor filling in; raises NOT_COMPLETE for anything else."""
NOT_COMPLETE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ENCODER = msgspec.json.Encoder()
_FIELD = re.compile(r" - at `\$\.(\w+)")
_RULES: Final = {
    "customerRef": Rule.CUSTOMER,
    "productRef": Rule.PRODUCT,
    "purchaseRef": Rule.PURCHASE,
    "actionType": Rule.ACTION_TYPE,
    "units": Rule.UNITS,
    "outcome": Rule.OUTCOME,
    "idempotencyKey": Rule.IDEMPOTENCY_KEY,
    "timestamp": Rule.TIMESTAMP,
    "duration": Rule.DURATION,
    "description": Rule.DESCRIPTION,
    "errorMessage": Rule.ERROR_MESSAGE,
    "metadata": Rule.METADATA,
}


def check(fields: Mapping[str, object]) -> Body:
    """The body made of canonical names and their values; raises what breaks a bound."""
    if fields.get("customerRef", "") == "":
        raise broken(Rule.MISSING_CUSTOMER, "customerRef is required and may not be empty")
    units = fields.get("units")
    if isinstance(units, float) and units.is_integer():
        fields = {**fields, "units": int(units)}  # the provider knows no difference, and one of its SDKs sends 1.0
    try:
        return msgspec.convert(fields, Body)
    except msgspec.ValidationError as fault:
        raise _broken_bound(str(fault)) from fault


def encode(body: Body) -> bytes:
    """The JSON object for the provider."""
    return _ENCODER.encode(body)


def _broken_bound(message: str) -> Unbillable:
    """msgspec ends its sentence with the path of the fault; the tests hold it to that."""
    found = cast("re.Match[str]", _FIELD.search(message))
    field = found[1]
    return broken(_RULES[field], f"{field}: {message[: found.start()]}")
