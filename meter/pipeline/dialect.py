"""What a record says, in whichever words: JSON read strictly, CloudEvents unpacked, other names made canonical."""

import json
import sys
from base64 import b64decode
from collections.abc import Mapping
from typing import Final, NoReturn

import msgspec

from meter.pipeline.body import ACTION_TYPES
from meter.pipeline.headers import PREFIX, Headers
from meter.pipeline.rules import Rule, Unbillable, broken

MAX_DEPTH: Final = 64
"""Levels of nesting; deeper JSON makes some parser on the way fail, and with it the batch."""

_NAMES: Final = {
    "customerRef": ("customerId", "customer"),
    "productRef": ("productReference", "productId", "agentRef", "product"),
    "purchaseRef": ("purchaseReference", "purchaseId"),
    "actionType": (),
    "action": (),
    "units": ("value", "amount"),
    "outcome": (),
    "idempotencyKey": (),
    "requestId": (),
    "timestamp": (),
    "duration": ("actionDuration",),
    "description": (),
    "errorMessage": (),
    "metadata": ("properties",),
}
CANONICAL: Final = {name: field for field, others in _NAMES.items() for name in (field, *others)}
"""Every spelling that is understood -> the name it is sent under (`action` and `requestId` are translated)."""

_OUTCOMES: Final = {"failure": "fail", "error": "fail"}
_CUSTOMER_PREFIX: Final = "cus_"
_TELLING: Final = ("ce_", PREFIX)
_BOM: Final = b"\xef\xbb\xbf"
_LARGEST_DOUBLE: Final = int(sys.float_info.max)
_HARMLESS: Final = frozenset((str, float, bool, type(None)))
_JSON: Final = msgspec.json.Decoder()


class CloudEvent(msgspec.Struct, gc=False, frozen=True):
    """The envelope of a CloudEvent, checked."""

    source: str
    id: str
    subject: str | None
    time: str | None


class Reading(msgspec.Struct, gc=False, frozen=True):
    """A record in canonical names. Values are as found, unchecked apart from what the translation needs."""

    fields: dict[str, object]
    request_id: str  # "" when there is none
    free_action: str  # an `action` that is none of the provider's types; "" when there is none
    cloud_event: CloudEvent | None


def read(value: bytes | None, headers: Headers) -> Reading:
    """Understand a record of any dialect; raises `Unbillable` for what cannot be understood."""
    content = _parse(value)
    if "specversion" in content:
        return _translate(_data(content), _envelope(content))
    attributes = _attributes(headers) if headers else None
    return _translate(content, _envelope(attributes) if attributes else None)


def _parse(value: bytes | None) -> Mapping[str, object]:
    """The JSON object in `value`."""
    if not value:
        raise broken(Rule.EMPTY, "the record has no value")
    value = value.removeprefix(_BOM)
    try:
        return _object(_JSON.decode(value))
    except msgspec.ValidationError as fault:
        raise broken(Rule.NOT_FINITE, "a number is too large") from fault
    except UnicodeDecodeError as fault:
        raise broken(Rule.NOT_JSON, "the value is not UTF-8") from fault
    except msgspec.DecodeError as fault:
        raise _malformed(value, str(fault)) from fault
    except RecursionError as fault:
        raise _too_deep() from fault


def _object(content: object) -> Mapping[str, object]:
    if not isinstance(content, dict):
        raise broken(Rule.NOT_AN_OBJECT, f"expected a JSON object, got {type(content).__name__}")
    return content


def _too_deep() -> Unbillable:
    return broken(Rule.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")


def _malformed(value: bytes, fault: str) -> Unbillable:
    """msgspec calls half a surrogate pair malformed; it deserves its own name."""
    try:
        json.loads(value.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return broken(Rule.NOT_JSON, fault)
    return broken(Rule.LONE_SURROGATE, "half of a UTF-16 surrogate pair on its own")


def _refuse(_constant: str) -> NoReturn:
    raise ValueError


def say_more(headers: Headers) -> bool:
    """Whether something about the event stands in the headers: a CloudEvent in binary mode, or a redriven record."""
    return any(name.startswith(_TELLING) for name, _ in headers)


def _attributes(headers: Headers) -> dict[str, object]:
    """The attributes of a CloudEvent in binary mode, names without `ce_`; empty when it is none."""
    attributes: dict[str, object] = {}
    for name, value in headers:
        if name.startswith("ce_") and value is not None:
            try:
                attributes[name[3:]] = value.decode()
            except UnicodeDecodeError as fault:
                raise broken(Rule.CLOUD_EVENT, f"header {name} is not UTF-8") from fault
    return attributes if "specversion" in attributes or "id" in attributes else {}


def _envelope(attributes: Mapping[str, object]) -> CloudEvent:
    if attributes.get("specversion", "1.0") != "1.0":
        raise broken(Rule.CLOUD_EVENT, "only version 1.0 of CloudEvents is understood")
    texts = {name: attributes.get(name) for name in ("source", "id", "subject", "time")}
    for name, text in texts.items():
        if not isinstance(text, str | None) or (name in {"source", "id"} and not text):
            raise broken(Rule.CLOUD_EVENT, f"CloudEvents attribute {name} must be a non-empty string")
    return CloudEvent(**texts)  # type: ignore[arg-type] # the loop has checked them


def _data(content: Mapping[str, object]) -> Mapping[str, object]:
    """What a structured CloudEvent carries; an event may say everything in its envelope."""
    encoded = content.get("data_base64")
    if isinstance(encoded, str):
        try:
            return _parse(b64decode(encoded, validate=True))
        except ValueError as fault:
            raise broken(Rule.CLOUD_EVENT, "data_base64 is not Base64") from fault
    if encoded is not None:
        raise broken(Rule.CLOUD_EVENT, "data_base64 must be a string")
    data = content.get("data")
    return {} if data is None else _object(data)


def _translate(content: Mapping[str, object], cloud_event: CloudEvent | None) -> Reading:
    fields = _canonical_names(content)
    if "customerRef" not in fields:
        _find_customer(fields, content, cloud_event)
    if cloud_event is not None and cloud_event.time is not None:
        fields.setdefault("timestamp", cloud_event.time)
    outcome = fields.get("outcome")
    if isinstance(outcome, str):
        fields["outcome"] = _OUTCOMES.get(outcome, outcome)
    request_id = _take_text(fields, "requestId", Rule.REQUEST_ID) if "requestId" in fields else ""
    free_action = _translate_action(fields) if "action" in fields else ""
    if request_id or free_action:
        _add_metadata(fields, requestId=request_id, action=free_action)
    for name in ("metadata", "duration"):
        if name in fields:
            _check_numbers(fields[name], 1)
    return Reading(fields, request_id, free_action, cloud_event)


def _check_numbers(value: object, depth: int) -> None:
    """Refuse what some JSON reader on the way takes for infinity, or cannot follow; floats are finite already."""
    if isinstance(value, int):
        if abs(value) > _LARGEST_DOUBLE:
            raise broken(Rule.NOT_FINITE, "a number is too large")
        return
    if not isinstance(value, dict | list):
        return
    if depth >= MAX_DEPTH:
        raise _too_deep()
    for member in value.values() if isinstance(value, dict) else value:
        if member.__class__ not in _HARMLESS:
            _check_numbers(member, depth + 1)


def _canonical_names(content: Mapping[str, object]) -> dict[str, object]:
    """The fields that are understood. null is as good as absent, but not for what is billed: NaN arrives as null."""
    fields: dict[str, object] = {}
    for name, value in content.items():
        field = CANONICAL.get(name)
        if field is None or (value is None and field != "units"):
            continue
        if field in fields and not _same(fields[field], value):
            raise broken(Rule.CONFLICTING_NAMES, f"{name} and another spelling of {field} differ")
        fields[field] = value
    return fields


def _same(one: object, other: object) -> bool:
    """Equal as JSON values: 1 is 1.0, but true is not 1."""
    _check_numbers(one, 1)  # and depth: comparing recurses
    _check_numbers(other, 1)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _find_customer(fields: dict[str, object], content: Mapping[str, object], cloud_event: CloudEvent | None) -> None:
    """The customer by the names that mean one only where no better name is given."""
    if cloud_event is not None and cloud_event.subject:
        fields["customerRef"] = cloud_event.subject
        return
    # The provider calls a customer's reference just that, as it does for all its objects: the prefix tells.
    reference = content.get("reference")
    if isinstance(reference, str) and reference.startswith(_CUSTOMER_PREFIX):
        fields["customerRef"] = reference


def _translate_action(fields: dict[str, object]) -> str:
    """Move `action` to where it belongs; returns it if it is none of the provider's types."""
    action = _take_text(fields, "action", Rule.ACTION_TYPE)
    if action not in ACTION_TYPES:
        return action
    if fields.setdefault("actionType", action) != action:
        raise broken(Rule.CONFLICTING_NAMES, "action and actionType differ")
    return ""


def _take_text(fields: dict[str, object], name: str, rule: Rule) -> str:
    value = fields.pop(name, "")
    if not isinstance(value, str):
        raise broken(rule, f"{name} must be a string")
    return value


def _add_metadata(fields: dict[str, object], **texts: str) -> None:
    """Keep what has no field of its own with the provider; the event's own metadata wins."""
    added = {name: text for name, text in texts.items() if text}
    metadata = fields.get("metadata", {})
    if added and isinstance(metadata, dict):
        fields["metadata"] = {**added, **metadata}
