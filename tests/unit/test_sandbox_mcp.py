"""The provider's tools at /mcp: what they are given, what they answer, and what happens below the protocol."""

import json
from typing import Any

import pytest

from meter.sandbox.faults.fault_list import Fault
from meter.sandbox.knobs import Knobs
from tests.sandboxes import BULK, CUSTOMER, PRODUCT, USAGES, activate, client_of, event, grant, known, plan_of, rows
from tests.sandboxes import tool as call
from tests.sandboxes import tool_answer as raw_call


async def test_a_result_is_the_same_object_as_text_and_as_structure() -> None:
    """Old clients read the text, new ones the structure; neither needs the other."""
    async with client_of() as client:
        answer = (await raw_call(client, "record_usage", event())).json()["result"]
    (block,) = answer["content"]
    assert block["type"] == "text"
    assert json.loads(block["text"]) == answer["structuredContent"]
    assert answer["isError"] is False
    assert answer["structuredContent"]["success"] is True
    assert answer["structuredContent"]["data"]["reference"].startswith("usage_")


@pytest.mark.parametrize(
    ("name", "arguments", "code", "words"),
    [
        ("get_purchases_by_customer", {"customerRef": "cus_NOPE"}, "NOT_FOUND", "cus_NOPE not found"),
        ("check_limits", {"customerRef": CUSTOMER}, "VALIDATION_ERROR", "productRef: Required"),
        ("create_customer", {"email": f"{CUSTOMER}@example.com"}, "VALIDATION_ERROR", "already exists"),
        ("record_usage", event(customerId="cus_OTHER"), "VALIDATION_ERROR", "customerId and customerRef differ"),
        ("cancel_renewal", {"purchaseId": "a", "purchaseRef": "b"}, "VALIDATION_ERROR", "purchaseId and purchaseRef"),
        ("record_bulk_usage", {"events": [event(), event(units=-1)]}, "VALIDATION_ERROR", "events.1.units"),
    ],
)
async def test_a_refusal_is_an_envelope_with_code_and_words(
    name: str, arguments: dict[str, Any], code: str, words: str
) -> None:
    """Agents read the words, programs the code; nothing is half-written."""
    async with client_of() as client:
        await known(client)
        answer = (await raw_call(client, name, arguments)).json()["result"]
        assert await rows(client) == []
    assert answer["isError"] is True
    assert answer["structuredContent"]["success"] is False
    assert answer["structuredContent"]["error"]["code"] == code
    assert words in answer["structuredContent"]["error"]["message"]


async def test_usage_is_taken_in_the_words_of_other_clients() -> None:
    """`failure` and `error` are `fail`; an action that is no action type, and the request's id, are kept beside."""
    sent = {
        "customerId": CUSTOMER,
        "productReference": PRODUCT,
        "action": "summarise",
        "requestId": "req-1",
        "actionDuration": 12.5,
        "outcome": "failure",
    }
    async with client_of() as client:
        await call(client, "record_usage", sent)
        (row,) = await rows(client)
    assert row["outcome"] == "fail"
    assert row["idempotencyKey"] == "req-1"
    assert row["duration"] == 12.5
    assert row["metadata"] == {"action": "summarise", "requestId": "req-1"}


async def test_rest_does_not_take_the_outcomes_that_only_tools_do() -> None:
    """The provider's REST knows three outcomes."""
    async with client_of() as client:
        assert (await client.post(USAGES, json=event(outcome="failure"))).status_code == 400


async def test_bulk_usage_has_one_result_for_each_event() -> None:
    """In order, copies by their key."""
    events = [event(idempotencyKey="a"), event(idempotencyKey="a"), event(outcome="error")]
    async with client_of() as client:
        data = await call(client, "record_bulk_usage", {"events": events})
        assert len(await rows(client)) == 2
    assert data["inserted"] == len(data["results"]) == 3
    assert data["results"][1]["reference"] == data["results"][0]["reference"]


async def test_limits_say_how_much_of_what_is_used_and_where_to_buy_more() -> None:
    """More than REST tells: the examples need it."""
    async with client_of() as client:
        await known(client, free_units=10)
        await call(client, "check_limits", {"customerRef": CUSTOMER, "productRef": PRODUCT})
        await call(client, "record_usage", event(units=10))
        data = await call(client, "check_limits", {"customerRef": CUSTOMER, "productRef": PRODUCT})
    assert (data["used"], data["limit"], data["freeUnits"], data["remaining"]) == (10, 10, 10, 0)
    assert data["plan"] == "pln_P9Q0R1S2"
    assert data["checkoutUrl"].startswith("http://sandbox/customer/checkout?id=")


async def test_limits_of_a_plan_on_credits_have_no_limit_but_the_credits() -> None:
    """What remains is paid for; without any plan nothing is."""
    asked = {"customerRef": CUSTOMER, "productRef": PRODUCT}
    async with client_of() as client:
        await known(client, free_units=None)
        nothing = await call(client, "check_limits", asked)
        plan = await plan_of(client, type="usage-based", creditsPerUnit=100)
        await grant(client, 500)
        await activate(client, plan)
        await call(client, "record_usage", event(units=2))
        paid = await call(client, "check_limits", asked)
    assert [nothing[name] for name in ("plan", "used", "limit", "remaining")] == [None, 0, 0, 0]
    assert [paid[name] for name in ("plan", "used", "limit", "remaining")] == [plan, 2, 0, 3]


async def test_a_customer_is_ensured_once_under_a_name_that_stays() -> None:
    """The second time there is nothing to create; a missing external reference is added."""
    async with client_of() as client:
        first = await call(client, "ensure_customer", {"email": "bob@startup.io", "name": "Bob"})
        again = await call(client, "ensure_customer", {"email": "BOB@startup.io", "name": "X", "externalRef": "b-1"})
        other = await call(client, "ensure_customer", {"email": "bob@startup.io", "externalRef": "b-2"})
    assert (first["created"], again["created"]) == (True, False)
    assert {each["reference"] for each in (first, again, other)} == {first["reference"]}
    assert (again["name"], other["externalRef"]) == ("Bob", "b-1")


@pytest.mark.parametrize("headers", [{"authorization": ""}, {"authorization": "Bearer wrong"}])
async def test_without_a_good_key_nothing_is_answered(headers: dict[str, str]) -> None:
    """HTTP 401 below the protocol, with a body that a JSON-RPC client can read."""
    async with client_of(key="sk_sandbox_right") as client:
        answer = await raw_call(client, "record_usage", event(), **headers)
    assert answer.status_code == 401
    assert answer.json() == {"jsonrpc": "2.0", "id": None, "error": {"code": -32001, "message": "Unauthorized"}}
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_the_key_may_come_in_either_header_and_chooses_the_environment() -> None:
    """As over REST."""
    async with client_of(sent_key="") as client:
        await call(client, "record_usage", event(), **{"x-api-key": "sk_live_a"})
        await call(client, "record_usage", event(), authorization="Bearer sk_sandbox_a")
        assert [row["environment"] for row in await rows(client)] == ["live", "sandbox"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_there_are_no_sessions(method: str) -> None:
    """No stream to open, nothing to end, no session's name."""
    async with client_of() as client:
        answer = await client.request(method, "/mcp")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert "mcp-session-id" not in (await raw_call(client, "record_usage", event())).headers


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[]", 400, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nope"}}', 200, -32602),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"record_usage","arguments":[]}}',
            200,
            -32602,
        ),
        (b'{"jsonrpc":"2.0","id":1,"method":"prompts/list"}', 200, -32601),
    ],
)
async def test_what_is_no_call_of_a_tool_is_an_error_of_the_protocol(body: bytes, status: int, code: int) -> None:
    """Never a 500."""
    headers = {"accept": "application/json", "content-type": "application/json"}
    async with client_of() as client:
        answer = await client.post("/mcp", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_one_knob_takes_the_envelope_away() -> None:
    """A provider that answers with the bare object is as possible; refusals keep their envelope."""
    async with client_of(knobs=Knobs(bare_object=True)) as client:
        good = (await raw_call(client, "record_usage", event())).json()["result"]
        bad = (await raw_call(client, "record_usage", {})).json()["result"]
    assert set(good["structuredContent"]) >= {"success", "reference"}
    assert bad["structuredContent"]["error"]["code"] == "VALIDATION_ERROR"


async def test_one_knob_takes_the_other_names_away() -> None:
    """Then they are unknown, in what is taken and in what is shown."""
    async with client_of(knobs=Knobs(strict_names=True)) as client:
        answer = (await raw_call(client, "cancel_renewal", {"purchaseId": "pur_A"})).json()["result"]
    assert "purchaseRef: Required" in answer["structuredContent"]["error"]["message"]


@pytest.mark.parametrize("route", ["/mcp", "/mcp/record_bulk_usage", "/mcp*", BULK, "/v1/sdk/*"])
async def test_a_fault_strikes_a_tool_by_each_of_its_names(route: str) -> None:
    """The endpoint, the tool, and the route of REST that does the same."""
    fault = Fault(route=route, kind="status", status=503, retry_after_seconds=7, count=1)
    async with client_of(faults=[fault]) as client:
        struck = await raw_call(client, "record_bulk_usage", {"events": [event()]})
        assert await rows(client) == []
        await call(client, "record_bulk_usage", {"events": [event()]})
        totals = (await client.get("/sandbox/totals")).json()
    assert (struck.status_code, struck.headers["retry-after"]) == (503, "7")
    assert (totals["requests"], totals["usages"]) == (2, 1)


async def test_a_fault_on_another_route_does_not_strike() -> None:
    """The twin of one tool is not that of all."""
    async with client_of(faults=[Fault(route=BULK, kind="status", status=503)]) as client:
        await call(client, "record_usage", event())


@pytest.mark.parametrize(
    ("fault", "status", "kept"),
    [
        (Fault(route=BULK, kind="status_after_commit", status=502), 502, 3),
        (Fault(route=BULK, kind="body_limit", bytes=100), 413, 0),
        (Fault(route=BULK, kind="reject_key"), 401, 0),
    ],
)
async def test_a_fault_of_http_is_one_over_mcp(fault: Fault, status: int, kept: int) -> None:
    """The status is that of the whole exchange, not of the tool."""
    async with client_of(faults=[fault]) as client:
        answer = await raw_call(client, "record_bulk_usage", {"events": [event()] * 3})
        assert len(await rows(client)) == kept
    assert answer.status_code == status
    assert answer.json()["id"] is None


async def test_half_a_body_is_half_a_body() -> None:
    """With status 200, after it was done."""
    async with client_of(faults=[Fault(route=BULK, kind="malformed")]) as client:
        answer = await raw_call(client, "record_bulk_usage", {"events": [event()]})
        assert len(await rows(client)) == 1
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize(
    ("fault", "code", "kept"),
    [
        (Fault(route=BULK, kind="partial_insert", inserted=2), "INTERNAL_ERROR", 2),
        (Fault(route=BULK, kind="reject_event", customers=[CUSTOMER]), "VALIDATION_ERROR", 0),
    ],
)
async def test_a_fault_of_the_route_is_a_failed_tool(fault: Fault, code: str, kept: int) -> None:
    """What the provider itself would say comes in its envelope."""
    async with client_of(faults=[fault]) as client:
        answer = (await raw_call(client, "record_bulk_usage", {"events": [event()] * 3})).json()["result"]
        assert len(await rows(client)) == kept
    assert answer["structuredContent"]["error"]["code"] == code


async def test_a_result_may_be_missing() -> None:
    """`wrong_results` leaves one out, inside of the envelope."""
    async with client_of(faults=[Fault(route=BULK, kind="wrong_results")]) as client:
        data = await call(client, "record_bulk_usage", {"events": [event()] * 3})
    assert len(data["results"]) == 2
