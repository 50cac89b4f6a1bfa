"""What a record becomes: the body for the provider, or the rule that it breaks."""

import json

import pytest

from meter.pipeline.event import InvalidEvent, decode
from meter.pipeline.timestamps import MAX_AGE_SECONDS, MAX_AHEAD_SECONDS, format_utc
from tests.records import NOW_SECONDS, NOW_TEXT, ORIGIN, FakeRecord, as_json, body, decoded, reason, usage

CUSTOMER = {"customerRef": "c"}
COMPLETE: dict[str, object] = {
    "customerRef": "cus_1",
    "productRef": "prd_1",
    "purchaseRef": "pur_1",
    "actionType": "email",
    "units": 5,
    "outcome": "paywall",
    "idempotencyKey": "k",
    "timestamp": "2025-11-23T20:00:00.250Z",
    "duration": 1.5,
    "description": "what",
    "errorMessage": "why",
    "metadata": {"a": 1, "b": "ä"},
}


def test_a_complete_event_is_sent_as_it_came() -> None:
    """Nothing to fill in, nothing to translate: the provider gets the producer's own bytes."""
    event = usage(COMPLETE)
    assert event.body == as_json(COMPLETE)
    assert (event.key, event.customer, event.product, event.units) == ("k", "cus_1", "prd_1", 5)
    assert event.timestamp_seconds == NOW_SECONDS - 2000 + 0.25
    assert not event.counts


def test_defaults_are_written_out() -> None:
    """What the provider would assume is said, so that a change of its defaults changes no bill."""
    assert body({**CUSTOMER, "idempotencyKey": "k"}) == {
        "customerRef": "c",
        "actionType": "api_call",
        "units": 1,
        "outcome": "success",
        "idempotencyKey": "k",
        "timestamp": NOW_TEXT,
    }
    assert usage(CUSTOMER).counts
    assert usage(CUSTOMER).product == ""


@pytest.mark.parametrize(
    ("name", "canonical", "value"),
    [
        ("customerId", "customerRef", "x"),
        ("customer", "customerRef", "x"),
        ("reference", "customerRef", "cus_X"),
        ("productReference", "productRef", "x"),
        ("productId", "productRef", "x"),
        ("agentRef", "productRef", "x"),
        ("product", "productRef", "x"),
        ("purchaseReference", "purchaseRef", "x"),
        ("purchaseId", "purchaseRef", "x"),
        ("action", "actionType", "hour"),
        ("value", "units", 9),
        ("amount", "units", 9),
        ("actionDuration", "duration", 12.5),
        ("properties", "metadata", {"x": 1}),
    ],
)
def test_other_names_mean_the_same(name: str, canonical: str, value: object) -> None:
    """Every name the provider ever used is understood, and the one it uses now is sent."""
    event = {"customerRef": "c", name: value} if canonical != "customerRef" else {name: value}
    sent = body(event)
    assert sent[canonical] == value
    assert name not in sent


def test_two_spellings_must_agree() -> None:
    """Equal is fine; of two that differ nobody can say which is meant."""
    assert body({"customerRef": "c", "customerId": "c", "units": 1, "value": 1.0})["units"] == 1
    assert reason({"customerRef": "c", "customerId": "d"}) == "invalid:conflicting_names"
    assert reason({**CUSTOMER, "actionType": "hour", "action": "email"}) == "invalid:conflicting_names"
    assert reason({**CUSTOMER, "units": 1, "amount": True}) == "invalid:conflicting_names"
    assert body({"customerRef": "c", "customerId": None})["customerRef"] == "c"


def test_an_action_of_its_own_goes_to_the_metadata() -> None:
    """`action` is the action type if it is one, else the provider keeps it as metadata; given metadata wins."""
    assert body({**CUSTOMER, "action": "search"})["metadata"] == {"action": "search"}
    assert body({**CUSTOMER, "action": "search", "actionType": "hour"})["actionType"] == "hour"
    assert body({**CUSTOMER, "action": "search", "metadata": {"action": "x", "n": 1}})["metadata"] == {
        "action": "x",
        "n": 1,
    }


def test_a_request_id_is_kept_in_the_metadata() -> None:
    """It is the identity where no better is given, and can be looked for at the provider."""
    assert body({**CUSTOMER, "requestId": "r"})["metadata"] == {"requestId": "r"}
    assert body({**CUSTOMER, "requestId": "r", "idempotencyKey": "k"})["metadata"] == {"requestId": "r"}


@pytest.mark.parametrize("said", ["fail", "failure", "error"])
def test_all_words_for_failure(said: str) -> None:
    """The provider's REST interface knows `fail` alone."""
    assert body({**CUSTOMER, "outcome": said})["outcome"] == "fail"


def test_unknown_fields_are_ignored() -> None:
    """What meter does not know it neither refuses nor sends."""
    assert "tenant" not in body({**COMPLETE, "tenant": {"deep": [1, 2]}})


def test_null_is_as_good_as_absent_but_not_for_units() -> None:
    """Serialisers write null for what is not set; null units may be NaN, and would be billed as 1."""
    sent = body({**CUSTOMER, "productRef": None, "metadata": None, "timestamp": None, "idempotencyKey": None})
    assert not {"productRef", "metadata"} & sent.keys()
    assert reason({**CUSTOMER, "units": None}) == "invalid:units"


def test_empty_references_are_not_sent() -> None:
    """An empty product is none; an empty key would make all such events one."""
    assert "productRef" not in body({**COMPLETE, "productRef": ""})
    assert usage({**CUSTOMER, "idempotencyKey": ""}).key == "cluster-1:usage-events:3:7:1763930000000"


def test_structured_cloud_events() -> None:
    """`subject` is the customer and `time` the timestamp, unless the data says otherwise."""
    envelope = {"specversion": "1.0", "type": "usage", "source": "/s", "id": "1", "subject": "c"}
    event = {**envelope, "time": "2025-11-23T21:00:00+01:00", "data": {"units": 4}}
    sent = body(event)
    assert (sent["customerRef"], sent["units"], sent["timestamp"]) == ("c", 4, "2025-11-23T20:00:00.000Z")
    assert body({**event, "data": {"customerId": "d"}})["customerRef"] == "d"
    assert body({**envelope, "data_base64": "eyJ1bml0cyI6IDd9"})["units"] == 7


def test_binary_cloud_events() -> None:
    """The same from `ce_` headers and the value; other headers do not matter."""
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_subject", b"c"), ("x", b"\xff")]
    event = usage({"units": 4}, *headers)
    assert (event.customer, event.units) == ("c", 4)
    assert event.key == usage({"specversion": "1.0", "source": "/s", "id": "1", "subject": "c"}).key
    assert usage(COMPLETE, *headers).customer == "cus_1"
    assert usage(COMPLETE, ("traceparent", b"1"), ("ce_type", b"x")).key == "k"


@pytest.mark.parametrize(
    "envelope",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"source": ""},
        {"id": None},
        {"id": 7},
        {"subject": 7},
        {"time": 7},
        {"data_base64": "~"},
    ],
)
def test_a_broken_envelope_is_named(envelope: dict[str, object]) -> None:
    """Without source and id a CloudEvent has no identity, and guessing one bills twice or never."""
    event = {"specversion": "1.0", "source": "/s", "id": "1", "data": CUSTOMER, **envelope}
    assert reason(event) == "invalid:cloud_event"


def test_a_broken_binary_envelope_is_named() -> None:
    """Header bytes are text or a fault, never an exception."""
    assert reason(CUSTOMER, ("ce_id", b"\xff")) == "invalid:cloud_event"
    assert reason(CUSTOMER, ("ce_id", b"1")) == "invalid:cloud_event"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"hello", "not_json"),
        (b'{"customerRef":"c"', "not_json"),
        (b'{"customerRef":"c"} x', "not_json"),
        (b'{"customerRef":"c","duration":NaN}', "not_json"),
        (b'{"customerRef":"c","duration":-Infinity}', "not_json"),
        (b'{"customerRef":"\xff"}', "not_json"),
        (b'{"customerRef":"c","metadata":{"a":"\xed\xa0\x80"}}', "not_json"),
        ('{"customerRef":"c"}'.encode("utf-16"), "not_json"),
        (rb'{"customerRef":"\ud800"}', "lone_surrogate"),
        (rb'{"customerRef":"c","metadata":{"a":"\udc00x"}}', "lone_surrogate"),
        (b'{"customerRef":"c","metadata":{"a":1e999}}', "not_finite"),
        (b'{"customerRef":"c","metadata":{"a":[' + b"9" * 400 + b"]}}", "not_finite"),
        (b'{"customerRef":"c","duration":' + b"9" * 400 + b"}", "not_finite"),
        (b'{"customerRef":"c","units":' + b"9" * 5000 + b"}", "not_finite"),
        (b"[" * 100_000, "too_deep"),
        (b'{"customerRef":"c","metadata":' + b'{"a":' * 64 + b"1" + b"}" * 65, "too_deep"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b'{"specversion":"1.0","source":"s","id":"1","data":[]}', "not_an_object"),
        ({}, "missing_customer"),
        ({"customerRef": ""}, "missing_customer"),
        ({"customerRef": None}, "missing_customer"),
        ({"reference": "usage_1"}, "missing_customer"),
        ({"customerRef": 7}, "customer"),
        ({**CUSTOMER, "productRef": 7}, "product"),
        ({**CUSTOMER, "purchaseRef": []}, "purchase"),
        ({**CUSTOMER, "actionType": "search"}, "action_type"),
        ({**CUSTOMER, "action": 7}, "action_type"),
        ({**CUSTOMER, "units": -1}, "units"),
        ({**CUSTOMER, "units": 100_001}, "units"),
        ({**CUSTOMER, "units": 1.5}, "units"),
        ({**CUSTOMER, "units": True}, "units"),
        ({**CUSTOMER, "units": "1"}, "units"),
        ({**CUSTOMER, "units": 1e300}, "units"),
        ({**CUSTOMER, "outcome": "ok"}, "outcome"),
        ({**CUSTOMER, "outcome": 7}, "outcome"),
        ({**CUSTOMER, "idempotencyKey": 7}, "idempotency_key"),
        ({**CUSTOMER, "requestId": 7}, "request_id"),
        ({**CUSTOMER, "timestamp": 1763930000}, "timestamp"),
        ({**CUSTOMER, "duration": -0.5}, "duration"),
        ({**CUSTOMER, "duration": "1"}, "duration"),
        ({**CUSTOMER, "description": 7}, "description"),
        ({**CUSTOMER, "errorMessage": {}}, "error_message"),
        ({**CUSTOMER, "metadata": []}, "metadata"),
        ({**CUSTOMER, "metadata": "x"}, "metadata"),
    ],
)
def test_each_rule_has_its_name(value: object, rule: str) -> None:
    """Operators filter dead letters by these names."""
    event = decoded(value)
    assert isinstance(event, InvalidEvent), event
    assert event.reason == f"invalid:{rule}"
    assert 0 < len(event.detail) <= 200


@pytest.mark.parametrize("units", [0, 100_000, 3.0, -0.0])
def test_units_at_their_bounds(units: float) -> None:
    """Integral floats are integers: one of the provider's own SDKs sends 1.0."""
    event = usage({**CUSTOMER, "units": units})
    assert (event.units, json.loads(event.body)["units"]) == (int(units), int(units))


def test_a_byte_order_mark_is_no_fault() -> None:
    """Some producers write one; the provider never sees it."""
    assert (
        usage(b"\xef\xbb\xbf" + as_json(COMPLETE)).body
        == json.dumps(COMPLETE, separators=(",", ":"), ensure_ascii=False).encode()
    )


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2025-11-23T20:00:00Z", "2025-11-23T20:00:00.000Z"),
        ("2025-11-23T20:00:00.1239999Z", "2025-11-23T20:00:00.123Z"),
        ("2025-11-23t20:00:00.5z", "2025-11-23T20:00:00.500Z"),
        ("2025-11-23t20:00:00.500Z", "2025-11-23T20:00:00.500Z"),
        ("2025-11-23 20:00:00.500Z", "2025-11-23T20:00:00.500Z"),
        ("2025-11-23 20:00:00Z", "2025-11-23T20:00:00.000Z"),
        ("2025-11-23T22:00:00.000+02:00", "2025-11-23T20:00:00.000Z"),
        ("2025-11-23T14:30:00-0530", "2025-11-23T20:00:00.000Z"),
    ],
)
def test_timestamps_are_sent_in_utc_with_milliseconds(given: str, sent: str) -> None:
    """The provider is known to take this form only."""
    assert body({**CUSTOMER, "timestamp": given})["timestamp"] == sent
    assert body({**COMPLETE, "timestamp": given})["timestamp"] == sent


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025-11-23",
        "2025-11-23T20:00:00",
        "2025-11-23T20:00Z",
        "2025-11-31T20:00:00Z",
        "2025-11-23T24:00:00.000Z",
        "2025-11-23T20:00:60.000Z",
        "2025-W47-7T20:00:00.000Z",
        "20251123T200000.0000000Z",
        "٢٠٢٥-11-23T20:00:00.000Z",
        "2025-11-23T20:00:00.000+99:00",
    ],
)
def test_what_is_no_date_time_with_a_zone_is_refused(text: str) -> None:
    """A time without a zone could be off by a day."""
    assert reason({**CUSTOMER, "timestamp": text}) == "invalid:timestamp"


@pytest.mark.parametrize(
    ("age_seconds", "expected"),
    [
        (MAX_AGE_SECONDS, None),
        (MAX_AGE_SECONDS + 0.001, "expired"),
        (-MAX_AHEAD_SECONDS, None),
        (-MAX_AHEAD_SECONDS - 0.001, "future"),
    ],
)
@pytest.mark.parametrize("dialect", [{}, {"unknown": 1}], ids=["as it came", "translated"])
def test_the_window_of_the_provider_has_a_margin(
    age_seconds: float, expected: str | None, dialect: dict[str, object]
) -> None:
    """Older than 30 days less an hour, newer than 24 hours less five minutes: one such event costs a whole batch."""
    event = decoded({**COMPLETE, "timestamp": format_utc(NOW_SECONDS - age_seconds), **dialect})
    assert (event.reason if isinstance(event, InvalidEvent) else None) == expected
    assert event.key == "k"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_dates_at_the_edge_of_the_calendar(text: str) -> None:
    """Normalising them would leave the calendar; they are out of the window before that."""
    assert reason({**CUSTOMER, "timestamp": text}) in {"expired", "future"}


def test_a_missing_timestamp_is_the_record_s() -> None:
    """And of a record without one, the time at which it is looked at, as the provider would have it."""
    value = as_json({**CUSTOMER, "idempotencyKey": "k"})
    old = decode(FakeRecord(value, timestamp=1763920000123), ORIGIN, NOW_SECONDS)
    assert not isinstance(old, InvalidEvent)
    assert json.loads(old.body)["timestamp"] == "2025-11-23T17:46:40.123Z"
    none = decode(FakeRecord(value, timestamp=-1), ORIGIN, NOW_SECONDS)
    assert not isinstance(none, InvalidEvent)
    assert json.loads(none.body)["timestamp"] == NOW_TEXT


def test_an_invalid_event_keeps_its_key_where_it_can_be_read() -> None:
    """The dead letter is found under the key that its producer knows."""
    assert decoded({**COMPLETE, "units": -1}).key == "k"
    assert decoded({**COMPLETE, "units": -1, "idempotencyKey": "k" * 300}).key.startswith("sha256:")
    assert decoded(b"hello").key == ""


def test_metadata_passes_through() -> None:
    """Nested values, long integers and escapes arrive as the same JSON values."""
    metadata = {"nested": {"list": [1, None, True, 1e-9]}, "long": 2**70, "text": "ä\u0000\u2028"}
    assert body({**CUSTOMER, "metadata": metadata})["metadata"] == metadata
