"""What a usage event may be: reads the bodies of `/usages` and `/usages/bulk`, all of it valid or none.

Two readers that agree: `msgspec` straight into structs for bodies in canonical names, and a field-by-field one for
everything else, which alone knows the old names and how to say what is wrong.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec

from meter.sandbox.rest import timestamps
from meter.sandbox.rest.calls import decode
from meter.sandbox.rest.errors import Issue, ProviderError, invalid, iso
from meter.sandbox.rest.shapes import Path, Reading, custom, kind_of, utf16_units, wrong_type

MAX_EVENTS = 1000
MAX_UNITS = 100_000
MAX_KEY_LENGTH = 256
ACTION_TYPES = ("transaction", "api_call", "hour", "email", "storage", "custom")
OUTCOMES = ("success", "paywall", "fail")

OTHER_NAMES = (
    ("customerId", "customerRef"),
    ("customer", "customerRef"),
    ("productReference", "productRef"),
    ("productId", "productRef"),
    ("agentRef", "productRef"),
    ("product", "productRef"),
    ("purchaseReference", "purchaseRef"),
    ("actionDuration", "duration"),
    ("value", "units"),
    ("amount", "units"),
    ("properties", "metadata"),
)
"""Names of earlier versions that still mean the same; two that differ are refused."""


if TYPE_CHECKING:
    Text: TypeAlias = str | None
    Key: TypeAlias = str | None
    Object: TypeAlias = msgspec.Raw | None
    Milliseconds: TypeAlias = float | None
else:  # what msgspec reads: a null is refused, only absence is not
    Text = str
    Key = Annotated[str, msgspec.Meta(max_length=MAX_KEY_LENGTH)]
    Object = msgspec.Raw
    Milliseconds = Annotated[float, msgspec.Meta(ge=0)]


class Usage(msgspec.Struct, rename="camel", gc=False, forbid_unknown_fields=True):
    """One valid event. Its fields are the columns of the table, in this order; None: not sent."""

    customer_ref: Annotated[str, msgspec.Meta(min_length=1)]
    product_ref: Text = None
    purchase_ref: Text = None
    action_type: Literal["transaction", "api_call", "hour", "email", "storage", "custom"] = "api_call"
    units: Annotated[int, msgspec.Meta(ge=0, le=MAX_UNITS)] = 1
    outcome: Literal["success", "paywall", "fail"] = "success"
    idempotency_key: Key = None
    timestamp: Text = None
    metadata: Object = None
    duration: Milliseconds = None
    description: Text = None
    error_message: Text = None


class _Bulk(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    events: Annotated[list[Usage], msgspec.Meta(min_length=1, max_length=MAX_EVENTS)]


_one = msgspec.json.Decoder(Usage)
_bulk = msgspec.json.Decoder(_Bulk)


class Rules(NamedTuple):
    """What is taken beyond what the provider's API description is sure of."""

    strict_names: bool = False
    accept_offsets: bool = False


USUAL = Rules()


def read_one(body: bytes, now: float, rules: Rules = USUAL) -> list[Usage]:
    """The event of a single call. Raises ProviderError (400) that names every fault."""
    try:
        usages = [_one.decode(body)]
    except (ValueError, RecursionError):
        usages = []
    if usages and _plainly_good(usages, body, now):
        return usages
    issues: list[Issue] = []
    usage = _read_event(decode(body), (), now, issues, rules)
    if usage is None:
        raise invalid(issues)
    return [usage]


def read_bulk(body: bytes, now: float, rules: Rules = USUAL) -> list[Usage]:
    """The 1..1000 events of a bulk call. Raises ProviderError (400) that names every fault of every event."""
    try:
        usages = _bulk.decode(body).events
    except (ValueError, RecursionError):
        usages = []
    if usages and _plainly_good(usages, body, now):
        return usages
    return read_thoroughly(decode(body), now, rules)


def _plainly_good(usages: Sequence[Usage], body: bytes, now: float) -> bool:
    """Whether the checks that the structs do not make hold as well; if not, the other reader says why."""
    oldest, newest = now - timestamps.PAST_SECONDS, now + timestamps.FUTURE_SECONDS
    try:
        str(body, "utf-8")  # raw metadata has not been looked into
    except UnicodeDecodeError:
        return False
    for usage in usages:
        if usage.timestamp is not None:
            moment = timestamps.unix_seconds(usage.timestamp)
            if moment is None or not oldest <= moment <= newest:
                return False
        key = usage.idempotency_key
        if key is not None and not key.isascii() and utf16_units(key) > MAX_KEY_LENGTH:
            return False
        if usage.metadata is not None and memoryview(usage.metadata)[0] != ord("{"):
            return False
    return True


def read_thoroughly(data: object, now: float, rules: Rules = USUAL) -> list[Usage]:
    """The events of a decoded bulk body, in any spelling. Raises ProviderError (400) that names every fault."""
    issues: list[Issue] = []
    body = Reading(data, (), issues)
    other = "events" not in body.data and "records" in body.data and not rules.strict_names
    name = "records" if other else "events"
    events = body.data.get(name)
    if not isinstance(events, list):
        if not issues:
            issues.append(wrong_type((name,), "array", kind_of(events) if name in body.data else "undefined"))
        raise invalid(issues)
    if not 1 <= len(events) <= MAX_EVENTS:
        raise invalid([wrong_count(name, len(events))])
    usages = [_read_event(event, (name, index), now, issues, rules) for index, event in enumerate(events)]
    if issues:
        raise invalid(issues)
    return [usage for usage in usages if usage is not None]


def wrong_count(name: str, count: int) -> Issue:
    """The issue of a list in a bulk call that is empty, or else too long."""
    code, side, word, bound = (
        ("too_small", "minimum", "at least", 1) if count < 1 else ("too_big", "maximum", "at most", MAX_EVENTS)
    )
    message = f"Array must contain {word} {bound} element(s)"
    return {"code": code, side: bound, "type": "array", "inclusive": True, "path": [name], "message": message}


def _read_event(data: object, path: Path, now: float, issues: list[Issue], rules: Rules) -> Usage | None:
    """The event, or None after its faults were added to `issues`."""
    before = len(issues)
    if isinstance(data, dict) and not rules.strict_names:
        data = _canonical(data, path, issues)
    event = Reading(data, path, issues)
    fields: dict[str, Any] = {
        "customer_ref": event.text("customerRef", required=True, min_length=1),
        "product_ref": event.text("productRef"),
        "purchase_ref": event.text("purchaseRef"),
        "action_type": event.choice("actionType", ACTION_TYPES),
        "units": event.integer("units", 0, MAX_UNITS),
        "outcome": event.choice("outcome", OUTCOMES),
        "idempotency_key": event.text("idempotencyKey", max_length=MAX_KEY_LENGTH),
        "timestamp": _timestamp(event, now, rules),
        "metadata": _raw(event),
        "duration": event.number("duration", low=0),
        "description": event.text("description"),
        "error_message": event.text("errorMessage"),
    }
    if len(issues) > before:
        return None
    return Usage(**{name: value for name, value in fields.items() if value is not None})


def _timestamp(event: Reading, now: float, rules: Rules) -> str | None:
    text = event.text("timestamp")
    if text is None:
        return None
    if rules.accept_offsets:
        text = _in_utc(text)
    moment = timestamps.unix_seconds(text)
    path = [*event.path, "timestamp"]
    if moment is None:
        event.issues.append(
            {"code": "invalid_string", "validation": "datetime", "path": path, "message": "Invalid datetime"}
        )
    elif not timestamps.within(moment, now):
        side = "24 hours in the future" if moment > now else "30 days in the past"
        event.issues.append(custom((*event.path, "timestamp"), f"Timestamp must not be more than {side}"))
    return text


def _in_utc(text: str) -> str:
    """The same moment with `Z`, if `text` has an offset; else `text`."""
    try:
        moment = datetime.fromisoformat(text)
        return text if moment.utcoffset() is None or text.endswith("Z") else iso(moment.timestamp())
    except (ValueError, OverflowError):
        return text


def _raw(event: Reading) -> msgspec.Raw | None:
    metadata = event.mapping("metadata")
    if metadata is None:
        return None
    try:
        return msgspec.Raw(msgspec.json.encode(metadata))
    except RecursionError as error:
        raise ProviderError(400, "Body is nested too deeply") from error


def _canonical(data: dict[str, Any], path: Path, issues: list[Issue]) -> dict[str, Any]:
    """`data` in canonical names; a differing second spelling is an issue."""
    event = dict(data)
    for other, name in OTHER_NAMES:
        if other in event:
            _rename(event, other, name, path, issues)
    if "action" in event:
        if event["action"] in ACTION_TYPES:
            _rename(event, "action", "actionType", path, issues)
        else:
            _tag(event, "action", event["action"])
    if "requestId" in event:
        event.setdefault("idempotencyKey", event["requestId"])
        _tag(event, "requestId", event["requestId"])
    return event


def _rename(event: dict[str, Any], other: str, name: str, path: Path, issues: list[Issue]) -> None:
    value = event.pop(other)
    if event.setdefault(name, value) != value:
        issues.append(custom((*path, other), f"{other} and {name} differ"))


def _tag(event: dict[str, Any], name: str, value: object) -> None:
    """Keep `value` in the metadata, where the provider's own client puts it; what is there already stays."""
    metadata = event.get("metadata", {})
    if isinstance(metadata, dict):
        event["metadata"] = {name: value, **metadata}
