"""What each answer over MCP means, one row per answer: the same as its twin over REST."""

import json
from typing import Any

import pytest

from meter.billing.answers import bulk_outcome, limits_outcome
from meter.billing.limits_outcome import (
    LimitsAnswer,
    LimitsInvalid,
    LimitsNotFound,
    LimitsOutcome,
    LimitsRefused,
    LimitsUnavailable,
)
from meter.billing.mcp_answers import rest_answer
from meter.pipeline.outcome import Accepted, Outcome, Refusal, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer

BULK = {"success": True, "inserted": 2, "results": [{"reference": "a"}, {"reference": "b"}]}
LIMITS = {"withinLimits": True, "remaining": 13}
JSON = {"content-type": "application/json"}
STREAM = {"content-type": "text/event-stream; charset=utf-8"}
UNKNOWN_TOOL = "Unknown tool: 'record_bulk_usage'"
ZOD = [{"code": "invalid_type", "path": ["events", 1, "customerRef"], "message": "Required"}]


def result(said: object, *, text: str | None = None, failed: bool = False, structured: bool = True) -> dict[str, Any]:
    """The result of a tool: a text block, and if `structured` the same object beside it."""
    found: dict[str, Any] = {"content": [{"type": "text", "text": json.dumps(said) if text is None else text}]}
    return found | ({"structuredContent": said} if structured else {}) | ({"isError": True} if failed else {})


def rpc(**members: object) -> bytes:
    """One message of JSON-RPC."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, **members}).encode()


def failed(code: str, message: object, **more: object) -> bytes:
    """A failure in the provider's envelope."""
    error = {"code": code, "message": message, **more}
    return rpc(result=result({"success": False, "error": error}, failed=True))


def bulk(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Outcome:
    """The outcome of a bulk call with two events."""
    found = rest_answer(status, headers or JSON, body)
    return bulk_outcome(found.status, headers or JSON, found.body, 2, 0.0, "s3c")


def limits(body: bytes, status: int = 200) -> LimitsOutcome:
    """The outcome of a limits question."""
    found = rest_answer(status, JSON, body)
    return limits_outcome(found.status, JSON, found.body, 0.0, "s3c")


@pytest.mark.parametrize(
    "body",
    [
        rpc(result=result(BULK), error=None),
        rpc(result=result(BULK) | {"isError": None}),
        rpc(result=result(BULK, structured=False) | {"structuredContent": None}),
        rpc(result=result({"success": True, "data": BULK, "error": None})),
        rpc(result=result({**BULK, "data": None, "error": None})),
    ],
)
def test_what_is_null_is_not_there(body: bytes) -> None:
    """Some servers write members that say nothing: an accepted batch is no failure because of them."""
    assert bulk(body) == Accepted(["a", "b"])


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("wrap", [lambda data: {"success": True, "data": data}, lambda data: data])
def test_success_is_understood_with_and_without_an_envelope_and_structure(wrap: Any, structured: bool) -> None:
    """Nobody has published the envelope of a success: all four forms mean the same."""
    assert bulk(rpc(result=result(wrap(BULK), structured=structured))) == Accepted(["a", "b"])
    assert limits(rpc(result=result(wrap(LIMITS), structured=structured))) == LimitsAnswer(LIMITS)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_an_answer_may_come_as_a_stream_of_events(newline: str) -> None:
    """Comments, notifications and requests before it are passed over, and data may have several lines."""
    first, second = rpc(result=result(BULK)).decode().split('"result"')
    lines = [": ping", "", "event: message", 'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}', ""]
    lines += ["id: 7", f"data: {first}", f'data:"result"{second}', "", ""]
    assert bulk(newline.join(lines).encode(), headers=STREAM) == Accepted(["a", "b"])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", STREAM),
        (b": ping\n\n", STREAM),
        (b"data: {\n\n", STREAM),
        (b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n', STREAM),
        (rpc(result=result(BULK))[:-1], JSON),
        (rpc(result=result(BULK))[:20], JSON),
        (b"{", JSON),
        (b'{"success":tr', JSON),
        (rpc(result=7), JSON),
        (rpc(result={"content": [], "isError": "no"}), JSON),
        (rpc(result=result(None, text=json.dumps(BULK)[:-1], structured=False)), JSON),
        (rpc(result=result({**BULK, "results": []})), JSON),
        (rpc(result=result({"success": True, "data": {**BULK, "results": None}})), JSON),
        (rpc(result=result({**BULK, "success": False})), JSON),
    ],
)
def test_a_damaged_answer_leaves_the_outcome_unknown(body: bytes, headers: dict[str, str]) -> None:
    """The provider may have inserted: the same events are sent again."""
    outcome = bulk(body, headers=headers)
    assert isinstance(outcome, TryAgain)
    assert outcome.outcome_unknown


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (failed("NOT_FOUND", "Customer cus_A not found"), UnknownCustomer("Customer cus_A not found")),
        (failed("NOT_FOUND", "No such tenant"), Refused(Refusal.WRONG_ADDRESS, "404 No such tenant")),
        (failed("UNAUTHORIZED", "Bad s3c"), Refused(Refusal.UNAUTHORIZED, "401 Bad ***")),
        (failed("INTERNAL_ERROR", "Oh"), TryAgain("500 Oh", outcome_unknown=True)),
        (failed("SOMETHING_NEW", "Oh"), TryAgain("500 Oh", outcome_unknown=True)),
        (failed("INTERNAL_ERROR", None), TryAgain("500 INTERNAL_ERROR", outcome_unknown=True)),
        (failed("VALIDATION_ERROR", "Validation failed"), Rejected({}, "Validation failed")),
        (
            failed("VALIDATION_ERROR", "Validation failed", errors=ZOD),
            Rejected({1: "customerRef: Required"}, "Validation failed"),
        ),
        (
            failed("VALIDATION_ERROR", "Validation failed", details=[{**ZOD[0], "path": ["arguments", "events", 0]}]),
            Rejected({0: "Required"}, "Validation failed"),
        ),
        (
            failed("VALIDATION_ERROR", "Validation failed: events.0.units: Too many; events[1].customerRef Required"),
            Rejected(
                {0: "units: Too many", 1: "customerRef: Required"},
                "Validation failed: events.0.units: Too many; events[1].customerRef Required",
            ),
        ),
        (failed("VALIDATION_ERROR", "got 'events.0.x'"), Rejected({}, "got 'events.0.x'")),
        (failed("VALIDATION_ERROR", "events.7.units: no"), Rejected({}, "events.7.units: no")),
        (rpc(result=result({"code": "INTERNAL_ERROR", "message": "Oh"}, failed=True)), TryAgain("500 Oh", True)),
        (rpc(result=result({"statusCode": 503, "message": "Oh"}, failed=True)), TryAgain("503 Oh", False)),
        (rpc(result=result(None, text="It broke", failed=True)), TryAgain("500 It broke", outcome_unknown=True)),
        (
            rpc(result=result(None, text=UNKNOWN_TOOL, failed=True)),
            Refused(Refusal.WRONG_ADDRESS, f"404 {UNKNOWN_TOOL}"),
        ),
    ],
)
def test_a_failed_tool_means_what_its_twin_over_rest_means(body: bytes, expected: Outcome) -> None:
    """By the code of its error; events are named by paths, or by places in the words."""
    assert bulk(body) == expected


@pytest.mark.parametrize("as_result", [True, False])
def test_arguments_that_a_schema_refuses_are_refused_events(as_result: bool) -> None:
    """Servers made with the official SDKs check arguments by themselves, and print zod's list into the message."""
    words = f"Invalid arguments for tool record_bulk_usage: {json.dumps(ZOD)}"
    body = (
        rpc(result=result(None, text=words, failed=True))
        if as_result
        else rpc(error={"code": -32602, "message": words})
    )
    outcome = bulk(body)
    assert isinstance(outcome, Rejected)
    assert outcome.named == {1: "customerRef: Required"}


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (200, -32602, UNKNOWN_TOOL, Refused(Refusal.WRONG_ADDRESS, f"404 {UNKNOWN_TOOL}")),
        (200, -32601, "Method not found", Refused(Refusal.WRONG_ADDRESS, "404 Method not found")),
        (200, -32603, "Oh", TryAgain("500 Oh", outcome_unknown=True)),
        (200, ["no number"], "Oh", TryAgain("500 Oh", outcome_unknown=True)),
        (200, -32001, "Unauthorized", Refused(Refusal.UNAUTHORIZED, "401 Unauthorized")),
        (200, -32001, "Request timeout", TryAgain("500 Request timeout", outcome_unknown=True)),
        (400, -32600, "Missing session ID", Refused(Refusal.WRONG_ADDRESS, "400 Missing session ID")),
        (401, -32001, "Unauthorized", Refused(Refusal.UNAUTHORIZED, "401 Unauthorized")),
        (403, -32603, "Forbidden", Refused(Refusal.FORBIDDEN, "403 Forbidden")),
        (404, -32603, "Customer not found", UnknownCustomer("Customer not found")),
        (404, -32600, "Session not found", Refused(Refusal.WRONG_ADDRESS, "404 Session not found")),
        (413, -32603, "Too large", TooLarge()),
        (429, -32603, "Slow down", TryAgain("429 Slow down", outcome_unknown=False)),
        (504, -32603, "Gateway timeout", TryAgain("504 Gateway timeout", outcome_unknown=True)),
    ],
)
def test_a_refusal_below_the_tools(status: int, code: object, message: str, expected: Outcome) -> None:
    """By its HTTP status, and where that says nothing by its code."""
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}).encode()
    assert bulk(body, status) == expected


def test_a_refused_key_is_described_by_the_header() -> None:
    """The body says no more than that; which key, and why, is in the challenge."""
    headers = {**JSON, "www-authenticate": 'Bearer error="invalid_token", error_description="Invalid or expired key"'}
    outcome = bulk(rpc(error={"code": -32001, "message": "Unauthorized"}), 401, headers)
    assert outcome == Refused(Refusal.UNAUTHORIZED, "401 Invalid or expired key")


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'"yes"', b'{"jsonrpc":"2.0","id":1}', b'{"hello":1}'])
def test_what_is_not_mcp_is_a_wrong_address(body: bytes) -> None:
    """Something else listens there: nothing is taken for acceptance, and nobody's events are blamed."""
    outcome = bulk(body)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.WRONG_ADDRESS
    assert isinstance(limits(body), LimitsRefused)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (failed("NOT_FOUND", "Product prd_A not found"), LimitsNotFound("Product prd_A not found")),
        (failed("VALIDATION_ERROR", "customerRef: Required"), LimitsInvalid("customerRef: Required")),
        (failed("UNAUTHORIZED", "No"), LimitsRefused(Refusal.UNAUTHORIZED, "401 No")),
        (failed("INTERNAL_ERROR", "Oh"), LimitsUnavailable("500 Oh")),
        (rpc(result=result({"withinLimits": True})), LimitsUnavailable("200 with a malformed answer")),
        (rpc(result=result(LIMITS))[:-1], LimitsUnavailable("200 with a malformed answer")),
    ],
)
def test_limits_are_refused_as_over_rest(body: bytes, expected: LimitsOutcome) -> None:
    """Each with the meaning of its twin."""
    assert limits(body) == expected
