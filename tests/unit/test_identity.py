"""Golden identities. A test here that fails means: an upgrade bills events twice. Never adapt the literals."""

import pytest

from meter.pipeline import identity
from meter.pipeline.event import decode
from tests.records import NOW_SECONDS, ORIGIN, FakeRecord, as_json, usage


def test_a_given_key_is_kept() -> None:
    """Up to 256 UTF-16 units the producer's key goes to the provider as it is."""
    assert usage({"customerRef": "c", "idempotencyKey": "order-17"}).key == "order-17"
    assert identity.fit("k" * 256) == "k" * 256
    assert identity.fit("😀" * 128) == "😀" * 128


def test_a_long_key_is_hashed() -> None:
    """Length counts in UTF-16 units, as the provider's JavaScript does: 129 emoji are 258."""
    assert identity.fit("k" * 257) == "sha256:a5de0e3c93b4322bf1d2e6cc13119219d665142374de7f2b06bae237759c73e2"
    complete = {"actionType": "email", "units": 1, "outcome": "fail", "timestamp": "2025-11-23T20:00:00.000Z"}
    event = usage({"customerRef": "c", "productRef": "p", **complete, "idempotencyKey": "😀" * 129})
    assert event.key == identity.fit("😀" * 129)
    assert event.key.encode() in event.body
    assert identity.fit("😀" * 129) == "sha256:f1725ce917cd79b27f8cf381e84926a321c7bafa2130510be9722254f8ad4dff"


def test_a_cloud_event_is_known_by_source_and_id() -> None:
    """I2: the id `1` of two sources is two events; where one ends and the other begins cannot be confused."""
    assert identity.of_cloud_event("/s1", "1") != identity.of_cloud_event("/s2", "1")
    assert identity.of_cloud_event("/s", "11") != identity.of_cloud_event("/s1", "1")


def test_golden_cloud_event() -> None:
    """`ce:` and SHA-256 over `<bytes>:<source><bytes>:<id>`."""
    event = {"specversion": "1.0", "source": "/s", "id": "1", "data": {"customerRef": "c"}}
    assert usage(event).key == "ce:86744608769e86175ed870fe592ca32ccd1393d81edd50d3fd25bf2dba8bfa81"


def test_one_request_may_cause_several_events() -> None:
    """I3: a request id names a request; another customer, product or action makes another event."""
    base = {"customerRef": "c", "productRef": "p", "requestId": "r"}
    variants = [{}, {"customerRef": "d"}, {"productRef": "q"}, {"action": "email"}, {"action": "search"}]
    keys = {usage({**base, **variant}).key for variant in variants}
    assert len(keys) == len(variants)
    assert usage(base).key == usage({**base, "units": 5, "outcome": "fail"}).key


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"productRef": "p"}, "req:5ed5201906b864c437d25f76f2a1298104e3607747c21c920aad81ca33db6dac"),
        ({"action": "search"}, "req:9878b56a5a4548c9dc32c39d022b6e894d16ef89d2fceb33b5901788f97167d0"),
    ],
)
def test_golden_request(fields: dict[str, object], key: str) -> None:
    """`req:` and SHA-256 over request id, customer, product and action, each behind its length in bytes."""
    assert usage({"customerRef": "c", "requestId": "r", **fields}).key == key


def test_an_event_without_an_id_is_known_by_its_place() -> None:
    """I1: cluster id and timestamp tell the place from the same place in a topic recreated."""
    record = FakeRecord(as_json({"customerRef": "c"}), offset=42, timestamp=1763930000123)
    assert decode(record, ORIGIN, NOW_SECONDS).key == "cluster-1:usage-events:3:42:1763930000123"
    elsewhere = ORIGIN._replace(cluster_id="cluster-2")
    assert decode(record, elsewhere, NOW_SECONDS).key == "cluster-2:usage-events:3:42:1763930000123"


def test_a_record_without_timestamp_counts_as_zero() -> None:
    """The broker says -1 for no timestamp; the place is still the same at every delivery."""
    record = FakeRecord(as_json({"customerRef": "c"}), timestamp=-1)
    assert decode(record, ORIGIN, NOW_SECONDS).key == "cluster-1:usage-events:3:7:0"


def test_the_key_given_wins_over_envelope_and_request() -> None:
    """`data.idempotencyKey`, then the CloudEvent's id, then the request's."""
    data: dict[str, object] = {"customerRef": "c", "requestId": "r"}
    envelope = {"specversion": "1.0", "source": "/s", "id": "1"}
    assert usage({**envelope, "data": {**data, "idempotencyKey": "k"}}).key == "k"
    assert usage({**envelope, "data": data}).key == identity.of_cloud_event("/s", "1")
    assert usage({**data, "idempotencyKey": "k"}).key == "k"


@pytest.mark.parametrize(
    ("event", "digest"),
    [
        ({"customerRef": "cus_1", "productRef": "prd_1", "units": 3}, 2651126027),
        ({"customerRef": "c", "outcome": "error", "action": "search"}, 1044722548),
        ({"customerRef": "éé", "units": 0, "outcome": "paywall", "actionType": "hour"}, 287085740),
    ],
)
def test_golden_digests(event: dict[str, object], digest: int) -> None:
    """Digests stand in receipts: an upgrade must find its own."""
    assert usage(event).digest == digest


def test_the_digest_covers_what_is_billed_and_nothing_filled_in() -> None:
    """W8: other customer, product, action, units or outcome is a conflict; another timestamp or wording is not."""
    base: dict[str, object] = {"customerRef": "c", "productRef": "p", "units": 2, "idempotencyKey": "k"}
    same: list[dict[str, object]] = [
        {"timestamp": "2025-11-23T20:00:00Z"},
        {"metadata": {"n": 1}, "duration": 3, "description": "again"},
        {"outcome": "success", "actionType": "api_call", "units": 2.0},
    ]
    other: list[dict[str, object]] = [
        {"customerRef": "d"},
        {"productRef": "q"},
        {"units": 3},
        {"outcome": "fail"},
        {"action": "search"},
    ]
    digest = usage(base).digest
    assert {usage({**base, **change}).digest for change in same} == {digest}
    assert len({usage({**base, **change}).digest for change in other} | {digest}) == len(other) + 1


def test_the_digest_cannot_confuse_neighbouring_fields() -> None:
    """Customer `ab` with product `c` is not customer `a` with product `bc`."""
    assert identity.digest("ab", "c", "api_call", 1, "success") != identity.digest("a", "bc", "api_call", 1, "success")


def test_golden_conflict() -> None:
    """`new:` and SHA-256 over `<bytes>:<key><bytes>:<origin>`: a conflict that was redriven as an event of its own."""
    assert identity.of_conflict("a", "t:0:0") == "new:d8eeabaf6c96c0667b246f6a8b810747a01a656a98384d232af9a9c70f2494d1"


def test_golden_line() -> None:
    """`line:` and SHA-256 over all lines up to it, each with `\\n`: what `head -n 2 FILE | sha256sum` says."""
    lines = identity.Lines()
    lines.add(b'{"customerRef": "c"}')
    assert lines.key() == "line:dac4c3575994835cec98fb1439aafff5c4b79593d772af72d2ddf87e378fa833"
    lines.add(b'{"customerRef": "c"}')
    assert lines.key() == "line:9965c582e1a25dd0e3b880affea5d2d4e9328d35eca937a2bf183a03c4d7e314"


def test_golden_named_line() -> None:
    """`line:` and SHA-256 over name, number and content, each behind its length."""
    line = identity.of_named_line("usage.jsonl", 2, '{"customerRef": "c"}')
    assert line == "line:0f0801e686d32facd86efe3d2f095a04c4bfd8ca97c0e4dea3095bcc295690bb"
    assert line != identity.of_named_line("other.jsonl", 2, '{"customerRef": "c"}')


def test_a_carried_key_outranks_all_others() -> None:
    """A redriven record is the event that it was, in whatever dialect and with whatever headers."""
    complete = {"customerRef": "c", "actionType": "email", "units": 1, "outcome": "fail", "idempotencyKey": "own"}
    value = {**complete, "timestamp": "2025-11-23T20:00:00.000Z"}
    event = usage(value, ("meter-key", b"carried"))
    assert event.key == "carried"
    assert b'"idempotencyKey":"carried"' in event.body
    assert usage(value, ("meter-key", b"")).key == "own"
    assert usage(value, ("meter-key", b"\xff")).key == "own"
    assert usage({"customerRef": "c"}, ("meter-timestamp", b"1763920000000")).timestamp_seconds == 1_763_920_000.0
