"""Decoding under any input: no exception, nothing sent that the provider refuses, and one answer per event."""

import json
import math
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from meter.pipeline.event import InvalidEvent, UsageEvent, decode
from meter.pipeline.rules import EXPIRED, FUTURE, Rule
from meter.pipeline.timestamps import format_utc
from tests.records import NOW_SECONDS, ORIGIN, FakeRecord, as_json

REASONS = {f"invalid:{rule}" for rule in Rule} | {EXPIRED, FUTURE}
NAMES = [
    "customerRef",
    "customerId",
    "customer",
    "reference",
    "productRef",
    "productReference",
    "productId",
    "agentRef",
    "product",
    "purchaseRef",
    "actionType",
    "action",
    "units",
    "value",
    "amount",
    "outcome",
    "idempotencyKey",
    "requestId",
    "timestamp",
    "duration",
    "actionDuration",
    "description",
    "errorMessage",
    "metadata",
    "properties",
    "specversion",
    "source",
    "id",
    "subject",
    "time",
    "data",
    "data_base64",
    "tenant",
]

texts = st.text(max_size=12) | st.text(st.characters(categories=("Cs", "Lu")), max_size=4)
numbers = st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.integers(0, 100_000)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
timestamps = st.floats(-31 * 86400, 25 * 3600).map(lambda ago: format_utc(NOW_SECONDS + ago)) | texts
valid_values: dict[str, st.SearchStrategy[Any]] = {
    "customerRef": st.text(min_size=1, max_size=12),
    "productRef": st.text(min_size=1, max_size=12),
    "purchaseRef": st.text(max_size=12),
    "actionType": st.sampled_from(["transaction", "api_call", "hour", "email", "storage", "custom"]),
    "units": st.integers(0, 100_000),
    "outcome": st.sampled_from(["success", "paywall", "fail"]),
    "idempotencyKey": st.text(min_size=1, max_size=12) | st.text(min_size=120, max_size=140),
    "timestamp": st.integers(-29 * 86_400_000, 86_000_000).map(lambda ago: format_utc(NOW_SECONDS + ago / 1000)),
    "duration": st.floats(0, allow_infinity=False) | st.integers(0, 2**80),
    "description": texts,
    "errorMessage": st.text(max_size=12),
    "metadata": st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers() | st.lists(st.none())),
}
valid_events = st.fixed_dictionaries(
    {"customerRef": valid_values["customerRef"]},
    optional={name: values for name, values in valid_values.items() if name != "customerRef"},
)
complete_events = st.fixed_dictionaries(valid_values)
any_events = st.dictionaries(st.sampled_from(NAMES), json_values | timestamps, max_size=8)
headers = st.lists(
    st.tuples(
        st.sampled_from(["ce_id", "ce_source", "ce_specversion", "ce_subject", "ce_time", "x"]), st.binary(max_size=8)
    ),
    max_size=5,
).map(tuple)


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def check(record: FakeRecord) -> UsageEvent | InvalidEvent:
    """Decodes; what comes out is an event that the provider's description allows, or a fault with a name.

    Coming again, it is the same.
    """
    event = decode(record, ORIGIN, NOW_SECONDS)
    again = decode(record, ORIGIN, NOW_SECONDS)
    assert event.key == again.key
    if isinstance(event, InvalidEvent):
        assert event.reason in REASONS
        assert 0 < len(event.detail) <= 200
        assert utf16_units(event.key) <= 256
        return event
    sent = json.loads(event.body.decode(), parse_constant=lambda name: math.nan)
    assert isinstance(sent["customerRef"], str)
    assert sent["customerRef"] == event.customer != ""
    assert sent["units"] == event.units
    assert type(sent["units"]) is int
    assert 0 <= event.units <= 100_000
    assert sent["outcome"] in {"success", "paywall", "fail"}
    assert sent["actionType"] in {"transaction", "api_call", "hour", "email", "storage", "custom"}
    assert sent["idempotencyKey"] == event.key
    assert 0 < utf16_units(event.key) <= 256
    assert sent["timestamp"] == format_utc(event.timestamp_seconds)
    assert sent.get("duration", 0) >= 0
    assert isinstance(sent.get("metadata", {}), dict)
    assert sent.keys() <= valid_values.keys()
    assert event.counts == (sent["outcome"] == "success")
    assert 0 <= event.digest < 2**32
    return event


@given(st.binary(max_size=80) | st.none(), headers)
def test_any_bytes_are_an_event_or_a_reason(value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> None:
    """No bytes and no headers raise."""
    check(FakeRecord(value, headers))


@given(json_values | any_events, headers)
@settings(max_examples=300)
def test_any_json_is_an_event_or_a_reason(value: object, headers: tuple[tuple[str, bytes], ...]) -> None:
    """Nor does any JSON, with every name that means something filled with anything."""
    check(FakeRecord(as_json(value), headers))


@given(valid_events, st.sampled_from(NAMES), json_values, st.data())
@settings(max_examples=300)
def test_a_valid_event_with_one_field_changed(
    event: dict[str, Any], name: str, value: object, data: st.DataObject
) -> None:
    """Close to valid is where checks are missed; so are bytes cut, doubled or flipped."""
    check(FakeRecord(as_json({**event, name: value})))
    raw = bytearray(as_json(event))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    check(FakeRecord(bytes(raw)))


@given(valid_events)
def test_what_keeps_the_contract_is_valid(event: dict[str, Any]) -> None:
    """Nothing good is dead-lettered."""
    assume(not any(0xD800 <= ord(letter) < 0xE000 for letter in event.get("description", "")))
    assert isinstance(check(FakeRecord(as_json(event))), UsageEvent)


@given(complete_events | valid_events | any_events)
@settings(max_examples=400)
def test_the_short_cut_and_the_long_way_agree(event: dict[str, Any]) -> None:
    """An unknown field forces the translation; what comes of the event is the same as without."""
    short = check(FakeRecord(as_json(event)))
    long = check(FakeRecord(as_json({**event, "unknown": 1})))
    assert type(short) is type(long)
    assert short.key == long.key
    if isinstance(short, UsageEvent) and isinstance(long, UsageEvent):
        assert json.loads(short.body) == json.loads(long.body)
        assert (short.customer, short.product, short.units) == (long.customer, long.product, long.units)
        assert (short.digest, short.counts, short.timestamp_seconds) == (
            long.digest,
            long.counts,
            long.timestamp_seconds,
        )
    elif isinstance(short, InvalidEvent) and isinstance(long, InvalidEvent):
        assert (short.reason, short.detail) == (long.reason, long.detail)


@given(st.lists(st.tuples(st.sampled_from(NAMES), json_values), max_size=8))
def test_repeated_keys_are_read_as_every_parser_reads_them(members: list[tuple[str, object]]) -> None:
    """The last of two equal keys counts, here as at the provider."""
    raw = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members) + "}"
    event = check(FakeRecord(raw.encode()))
    last = check(FakeRecord(as_json(dict(members))))
    assert type(event) is type(last)
    assert event.key == last.key


@given(st.integers(1, 3000), st.sampled_from([b"[", b'{"a":', b'{"metadata":', b'{"data":']))
def test_any_depth_is_an_event_or_a_reason(depth: int, opening: bytes) -> None:
    """Nesting ends in a rule, not in the interpreter's own limit."""
    closing = b"]" if opening == b"[" else b"}"
    value = b'{"customerRef":"c","metadata":' + opening * depth + b"1" + closing * depth + b"}"
    check(FakeRecord(value))
    check(FakeRecord(opening * depth))


@given(st.integers(1, 1100), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_depth_is_no_trouble_in_any_field(depth: int, name: str, other: str) -> None:
    """Comparing spellings, or showing a value in a detail, recurses too."""
    deep = b"[" * depth + b"]" * depth
    fields = b",".join(b'"%s":%s' % (field.encode(), deep) for field in (name, other))
    check(FakeRecord(b"{" + fields + b"}"))
    check(FakeRecord(b'{"specversion":"1.0","id":"1","source":"s",%s}' % fields))
