"""The dialects in which services tell of usage: today's names, old ones, CloudEvents, and records without an id."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from meter.demo.usage import Usage, Written

_SOURCES = ("/services/search", "/services/render")
_ENVELOPE_TYPE = "com.example.usage"


def canonical(usage: Usage) -> dict[str, object]:
    """The names that the provider uses today."""
    return {
        "customerRef": usage.customer,
        "productRef": usage.product,
        "actionType": usage.action,
        "units": usage.units,
        "outcome": usage.outcome,
        "idempotencyKey": usage.identity,
        "timestamp": usage.time,
        "metadata": {"region": "eu-north-1", "n": usage.number},
    }


def dump(fields: Mapping[str, object]) -> bytes:
    """Compact JSON."""
    return json.dumps(fields, separators=(",", ":")).encode()


def _canonical(usage: Usage) -> Written:
    return Written(dump(canonical(usage)))


def _minimal(usage: Usage) -> Written:
    """No timestamp, no `success` in words, and units as the float that some JSON writers make of them."""
    fields = canonical(usage) | {"units": float(usage.units)}
    for name in ("timestamp", "metadata", *(["outcome"] if usage.outcome == "success" else [])):
        del fields[name]
    return Written(dump(fields))


def _old_names(usage: Usage) -> Written:
    fields = {
        "customerId": usage.customer,
        "productReference": usage.product,
        "action": usage.action,
        "value": usage.units,
        "outcome": "failure" if usage.outcome == "fail" else usage.outcome,
        "idempotencyKey": usage.identity,
        "timestamp": usage.time,
        "actionDuration": 12.5,
        "properties": {"n": usage.number},
    }
    return Written(dump(fields))


def _data(usage: Usage) -> dict[str, object]:
    fields = canonical(usage)
    for name in ("customerRef", "idempotencyKey", "timestamp"):
        del fields[name]
    return fields


def _envelope(usage: Usage) -> dict[str, str]:
    """Both services count from one: the id `7` of the first is not the id `7` of the second."""
    return {
        "specversion": "1.0",
        "id": str(usage.number // 2),
        "source": _SOURCES[usage.number % 2],
        "type": _ENVELOPE_TYPE,
        "subject": usage.customer,
        "time": usage.time,
    }


def _structured(usage: Usage) -> Written:
    headers = (("content-type", b"application/cloudevents+json"),)
    return Written(dump(_envelope(usage) | {"time": usage.local_time, "data": _data(usage)}), headers)


def _binary(usage: Usage) -> Written:
    headers = [(f"ce_{name}", text.encode()) for name, text in _envelope(usage).items()]
    return Written(dump(_data(usage)), (*headers, ("content-type", b"application/json")))


def _request_id(usage: Usage) -> Written:
    fields = canonical(usage) | {"requestId": usage.identity}
    del fields["idempotencyKey"]
    return Written(dump(fields))


def _without_id(usage: Usage) -> Written:
    fields = canonical(usage)
    del fields["idempotencyKey"]
    return Written(dump(fields))


def _long_key(usage: Usage) -> Written:
    """More than the 256 UTF-16 units that the provider takes, though fewer than 256 characters."""
    return Written(dump(canonical(usage) | {"idempotencyKey": f"{usage.identity}:" + "\N{SATELLITE ANTENNA}" * 150}))


DIALECTS: Final[Mapping[str, tuple[int, Callable[[Usage], Written]]]] = {
    "canonical": (36, _canonical),
    "minimal": (8, _minimal),
    "old_names": (18, _old_names),
    "cloudevents_structured": (12, _structured),
    "cloudevents_binary": (8, _binary),
    "request_id": (9, _request_id),
    "no_id": (6, _without_id),
    "long_key": (3, _long_key),
}
"""Name -> (its weight in the stream, how it writes)."""

REQUEST_ID: Final = "request_id"
WITHOUT_ID: Final = "no_id"
"""Records of this dialect are known by their place in the topic alone, so a second one is no copy."""
