"""What the sandbox takes as usage, what it refuses, and in which words."""

from typing import Any

import pytest

from meter.sandbox.rest.errors import iso
from tests.sandboxes import BULK, CUSTOMER, NOW, PRODUCT, USAGES, client_of, event, known, rows

DAY = 86400


@pytest.mark.parametrize(
    "fields",
    [
        {"units": 0},
        {"units": 100_000},
        {"units": 1.0},
        {"units": 1e2},
        {"idempotencyKey": "k" * 256},
        {"idempotencyKey": "😀" * 128},
        {"idempotencyKey": ""},
        {"timestamp": iso(NOW)},
        {"timestamp": "2026-03-15T12:00:00Z"},
        {"timestamp": "2026-03-15T12:00:00.123456789Z"},
        {"timestamp": iso(NOW + DAY)},
        {"timestamp": iso(NOW - 30 * DAY)},
        {"duration": 12.5},
        {"duration": 0},
        {"metadata": {}},
        {"metadata": {"deep": [{"é": None}]}},
        {"description": "", "errorMessage": "x" * 5000},
        {"purchaseRef": "pur_1"},
        {"somethingNew": [1, 2]},
        *({"actionType": name} for name in ("transaction", "api_call", "hour", "email", "storage", "custom")),
        *({"outcome": name} for name in ("success", "paywall", "fail")),
    ],
)
async def test_everything_within_bounds_is_taken(fields: dict[str, Any]) -> None:
    """Both routes answer 200 for every event that the contract allows; the edges count as inside."""
    async with client_of() as client:
        single = await client.post(USAGES, json=event(**fields))
        bulk = await client.post(BULK, json={"events": [event(**fields)]})
        assert (single.status_code, bulk.status_code) == (200, 200), (single.text, bulk.text)


@pytest.mark.parametrize(
    ("fields", "name", "code"),
    [
        ({"customerRef": ""}, "customerRef", "too_small"),
        ({"customerRef": 5}, "customerRef", "invalid_type"),
        ({"customerRef": None}, "customerRef", "invalid_type"),
        ({"productRef": None}, "productRef", "invalid_type"),
        ({"units": -1}, "units", "too_small"),
        ({"units": 100_001}, "units", "too_big"),
        ({"units": 10**30}, "units", "too_big"),
        ({"units": 1.5}, "units", "invalid_type"),
        ({"units": True}, "units", "invalid_type"),
        ({"units": "1"}, "units", "invalid_type"),
        ({"actionType": "call"}, "actionType", "invalid_enum_value"),
        ({"outcome": "failure"}, "outcome", "invalid_enum_value"),
        ({"outcome": "Success"}, "outcome", "invalid_enum_value"),
        ({"idempotencyKey": "k" * 257}, "idempotencyKey", "too_big"),
        ({"idempotencyKey": "😀" * 129}, "idempotencyKey", "too_big"),
        ({"idempotencyKey": 7}, "idempotencyKey", "invalid_type"),
        ({"timestamp": iso(NOW + DAY + 1)}, "timestamp", "custom"),
        ({"timestamp": iso(NOW - 30 * DAY - 1)}, "timestamp", "custom"),
        ({"timestamp": "2026-03-15T12:00:00+00:00"}, "timestamp", "invalid_string"),
        ({"timestamp": "2026-03-15T12:00:00"}, "timestamp", "invalid_string"),
        ({"timestamp": "2026-02-30T12:00:00Z"}, "timestamp", "invalid_string"),
        ({"timestamp": "2026-03-15T24:00:00Z"}, "timestamp", "invalid_string"),
        ({"timestamp": "2026-03-15T12:00:00.Z"}, "timestamp", "invalid_string"),
        ({"timestamp": "2026-03-15T12:00:00.²Z"}, "timestamp", "invalid_string"),
        ({"timestamp": "2026-03-15"}, "timestamp", "invalid_string"),
        ({"timestamp": ""}, "timestamp", "invalid_string"),
        ({"timestamp": NOW}, "timestamp", "invalid_type"),
        ({"metadata": []}, "metadata", "invalid_type"),
        ({"metadata": None}, "metadata", "invalid_type"),
        ({"duration": -0.1}, "duration", "too_small"),
        ({"duration": "1"}, "duration", "invalid_type"),
        ({"description": 1}, "description", "invalid_type"),
        ({"customerId": "cus_other"}, "customerId", "custom"),
    ],
)
async def test_everything_else_is_refused_by_name(fields: dict[str, Any], name: str, code: str) -> None:
    """One bad event costs the whole batch: 400, its place in `errors[].path`, and nothing is recorded."""
    async with client_of() as client:
        answer = await client.post(BULK, json={"events": [event(), event(**fields), event()]})
        single = await client.post(USAGES, json=event(**fields))
        assert answer.status_code == single.status_code == 400
        assert [(issue["path"], issue["code"]) for issue in answer.json()["errors"]] == [(["events", 1, name], code)]
        assert [(issue["path"], issue["code"]) for issue in single.json()["errors"]] == [([name], code)]
        assert await rows(client) == []


async def test_a_failed_validation_has_the_documented_body() -> None:
    """The body of a 400 is the one of the provider's framework, to the letter."""
    async with client_of() as client:
        answer = await client.post(BULK, json={"events": [event(), {"units": 1}]})
    assert answer.json() == {
        "statusCode": 400,
        "message": "Validation failed",
        "errors": [
            {
                "code": "invalid_type",
                "expected": "string",
                "received": "undefined",
                "path": ["events", 1, "customerRef"],
                "message": "Required",
            }
        ],
        "timestamp": "2026-03-15T12:00:00.000Z",
        "path": BULK,
    }


async def test_every_fault_of_every_event_is_named() -> None:
    """The caller learns of all mistakes at once."""
    async with client_of() as client:
        answer = await client.post(BULK, json={"events": [{"units": -1}, event(), event(units=2.5, outcome="x")]})
    paths = [tuple(issue["path"]) for issue in answer.json()["errors"]]
    assert paths == [
        ("events", 0, "customerRef"),
        ("events", 0, "units"),
        ("events", 2, "units"),
        ("events", 2, "outcome"),
    ]


@pytest.mark.parametrize(("count", "status"), [(0, 400), (1, 200), (1000, 200), (1001, 400)])
async def test_a_bulk_call_takes_1_to_1000_events(count: int, status: int) -> None:
    """The only published number of the provider."""
    async with client_of() as client:
        answer = await client.post(BULK, json={"events": [event()] * count})
        assert answer.status_code == status
        assert len(await rows(client)) == (count if status == 200 else 0)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"7", b'{"events":{}}', b'{"events":null}', b'{"events":[null]}']
)
async def test_a_body_of_another_shape_is_a_failed_validation(body: bytes) -> None:
    """Anything that is JSON, or nothing at all, gets the schema's 400."""
    async with client_of() as client:
        answer = await client.post(BULK, content=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"NaN",
        b'{"events":[{"customerRef":"\xff"}]}',
        b"[" * 100_000,
        b'{"events":[{"customerRef":"\\ud800"}]}',
    ],
)
async def test_a_body_that_is_not_json_is_a_400_without_issues(body: bytes) -> None:
    """Broken text is told apart from a broken schema."""
    async with client_of() as client:
        answer = await client.post(BULK, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Bad Request"


async def test_bytes_that_are_no_text_are_refused_inside_metadata_too() -> None:
    """Metadata is passed through unread, but never kept if it is not text."""
    async with client_of() as client:
        body = b'{"customerRef":"c","metadata":{"x":"\xff"}}'
        assert (await client.post(USAGES, content=body)).status_code == 400
        assert await rows(client) == []


@pytest.mark.parametrize(
    ("other", "canonical", "value"),
    [
        ("customerId", "customerRef", CUSTOMER),
        ("productReference", "productRef", PRODUCT),
        ("productId", "productRef", PRODUCT),
        ("agentRef", "productRef", PRODUCT),
        ("product", "productRef", PRODUCT),
        ("purchaseReference", "purchaseRef", "pur_1"),
        ("action", "actionType", "email"),
        ("requestId", "idempotencyKey", "r1"),
        ("actionDuration", "duration", 12.0),
        ("value", "units", 7),
        ("amount", "units", 7),
        ("properties", "metadata", {"a": 1}),
    ],
)
async def test_names_of_earlier_versions_mean_the_same(other: str, canonical: str, value: object) -> None:
    """An event in an old spelling is recorded as if it had been sent in the new one."""
    sent = event()
    sent.pop(canonical, None)
    async with client_of() as client:
        assert (await client.post(USAGES, json={**sent, other: value})).status_code == 200
        (row,) = await rows(client)
    assert row[canonical] == value


async def test_both_spellings_may_be_sent_if_they_agree() -> None:
    """Only a contradiction is a mistake."""
    async with client_of() as client:
        assert (await client.post(USAGES, json=event(customerId=CUSTOMER))).status_code == 200


async def test_an_action_of_ones_own_and_a_request_id_go_into_the_metadata() -> None:
    """What is no action type is a tag; a requestId is the key only where there is none, and a tag always."""
    async with client_of() as client:
        await client.post(USAGES, json=event(action="search", requestId="r1", idempotencyKey="k", metadata={"a": 1}))
        (row,) = await rows(client)
    assert row["actionType"] == "api_call"
    assert row["idempotencyKey"] == "k"
    assert row["metadata"] == {"a": 1, "action": "search", "requestId": "r1"}


async def test_a_bulk_body_may_call_its_events_records() -> None:
    """The name in older prose."""
    async with client_of() as client:
        assert (await client.post(BULK, json={"records": [event()]})).status_code == 200


async def test_what_was_sent_is_kept_whole() -> None:
    """A row shows every field of the event, the defaults of those that were left out, and its reference."""
    sent = event(
        purchaseRef="pur_1",
        actionType="email",
        units=7,
        outcome="paywall",
        idempotencyKey="k\0ü",
        timestamp="2026-03-15T11:59:59.5Z",
        metadata={"a": [1, None, {"b": "ü"}]},
        duration=1.5,
        description="d",
        errorMessage="e",
    )
    async with client_of() as client:
        reference = (await client.post(USAGES, json=sent)).json()["reference"]
        (row,) = await rows(client)
    assert row == {**sent, "reference": reference, "environment": "sandbox", "recordedAt": "2026-03-15T12:00:00.000Z"}


async def test_the_first_of_a_key_wins() -> None:
    """A repeat gets 200, the same reference and `duplicate`, whatever else it says; nothing is recorded."""
    async with client_of() as client:
        first = (await client.post(USAGES, json=event(idempotencyKey="k", units=2))).json()
        again = (await client.post(USAGES, json=event(idempotencyKey="k", units=9, customerRef="cus_other"))).json()
        assert again["reference"] == first["reference"]
        assert again["creditDebit"] == {"debited": False, "reason": "duplicate"}
        assert [row["units"] for row in await rows(client)] == [2]
        assert (await client.get("/sandbox/totals")).json() == {
            "usages": 1,
            "units": 2,
            "duplicates": 1,
            "requests": 2,
        }


async def test_a_key_counts_once_inside_a_batch_and_across_routes() -> None:
    """Results stay in request order, each with its own reference or the first one's."""
    async with client_of() as client:
        first = (await client.post(USAGES, json=event(idempotencyKey="a"))).json()["reference"]
        keys = ["b", "a", "b", "c"]
        answer = (await client.post(BULK, json={"events": [event(idempotencyKey=key) for key in keys]})).json()
        references = [result["reference"] for result in answer["results"]]
        repeats = [result["creditDebit"]["reason"] == "duplicate" for result in answer["results"]]
        assert repeats == [False, True, True, False]
        assert references[1] == first
        assert references[2] == references[0]
        assert (answer["success"], answer["inserted"], len(set(references))) == (True, 4, 3)
        assert [row["idempotencyKey"] for row in await rows(client)] == ["a", "b", "c"]


async def test_events_without_a_key_are_all_kept() -> None:
    """No key, no comparison."""
    async with client_of() as client:
        await client.post(BULK, json={"events": [event(), event()]})
        assert len(await rows(client)) == 2


async def test_why_nothing_is_debited() -> None:
    """The reason names the first thing that is missing; it is absent where the outcome is no success."""
    async with client_of() as client:
        await known(client)
        events = [
            event(productRef=None) | {"customerRef": "cus_nobody"},
            event(customerRef="cus_nobody"),
            event(productRef="prd_nothing"),
            event(),
            event(outcome="fail"),
        ]
        del events[0]["productRef"]
        results = (await client.post(BULK, json={"events": events})).json()["results"]
        reasons = [result.get("creditDebit", {}).get("reason") for result in results]
        assert reasons == ["no_product_ref", "customer_not_found", "no_active_purchase", "no_active_purchase", None]
        await client.post("/v1/sdk/limits", json={"customerRef": CUSTOMER, "productRef": PRODUCT})
        enrolled = (await client.post(USAGES, json=event())).json()
        assert enrolled["creditDebit"] == {"debited": False, "reason": "plan_not_credit_based"}
