"""The reading of answers is total: whatever comes back from the network has a meaning."""

import asyncio
import json

import httpx
from hypothesis import given
from hypothesis import strategies as st

from meter.billing.answers import bulk_outcome, limits_outcome
from meter.billing.calling import HttpBilling
from meter.billing.limits_outcome import (
    LimitsAnswer,
    LimitsInvalid,
    LimitsNotFound,
    LimitsRefused,
    LimitsUnavailable,
)
from meter.billing.mcp import McpFraming
from meter.billing.mcp_answers import rest_answer
from meter.billing.rest import RestFraming
from meter.pipeline.outcome import Accepted, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer
from tests.exchanges import InProcess

SECRET = "sk_sandbox_4711"
OUTCOMES = (Accepted, Rejected, UnknownCustomer, TooLarge, Refused, TryAgain)
LIMITS_OUTCOMES = (LimitsAnswer, LimitsNotFound, LimitsInvalid, LimitsRefused, LimitsUnavailable)

words = st.sampled_from(
    ["success", "results", "reference", "statusCode", "message", "errors", "path", "events", "creditDebit", "debited"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 600) | st.floats(allow_nan=False) | st.text(max_size=20) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)
errors = st.fixed_dictionaries({"statusCode": st.integers(), "message": values, "errors": st.lists(values, max_size=4)})
bodies = st.binary(max_size=200) | (values | errors).map(lambda value: json.dumps(value).encode())
echoes = st.text(max_size=20).map(lambda text: json.dumps({"statusCode": 400, "message": text + SECRET}).encode())
no_headers: st.SearchStrategy[dict[str, str]] = st.just({})
headers = no_headers | st.fixed_dictionaries({"retry-after": st.text(max_size=30) | st.integers().map(str)})
statuses = st.integers(0, 999) | st.sampled_from([200, 400, 404, 409, 413, 422, 429, 500, 503])


@given(statuses, headers, bodies | echoes, st.integers(1, 1000), st.floats(0, 4e9))
def test_every_answer_to_a_bulk_call_has_a_meaning(
    status: int, headers: dict[str, str], body: bytes, events_total: int, wall_seconds: float
) -> None:
    """No exception, a short printable detail, indexes in range, no secret, a sane wait."""
    found = bulk_outcome(status, headers, body, events_total, wall_seconds, SECRET)
    assert isinstance(found, OUTCOMES)
    detail = getattr(found, "detail", "")
    assert len(detail) <= 200
    assert detail.isprintable()
    assert SECRET not in repr(found)
    if isinstance(found, Rejected):
        assert all(0 <= index < events_total for index in found.named)
    if isinstance(found, TryAgain):
        assert found.retry_after_seconds is None or 0 <= found.retry_after_seconds < float("inf")


tool_words = st.sampled_from(["success", "data", "error", "code", "message", "content", "structuredContent", "isError"])
layers = st.recursive(
    values | bodies.map(lambda body: body.decode("utf-8", "replace")) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tool_words, inner, max_size=4),
    max_leaves=10,
)
messages = st.fixed_dictionaries({"jsonrpc": st.just("2.0")}, optional={"result": layers, "error": layers})
mcp_bodies = bodies | messages.map(lambda message: json.dumps(message).encode())
kinds = st.sampled_from(["application/json", "text/event-stream", "text/html", ""])


@given(statuses, mcp_bodies, kinds, st.sampled_from([b"", b"data: ", b"event: message\ndata:"]), st.integers(1, 1000))
def test_every_answer_over_mcp_has_a_meaning(
    status: int, body: bytes, kind: str, prefix: bytes, events_total: int
) -> None:
    """Whatever the layers hold; and only a success can be taken for acceptance."""
    headers = {"content-type": kind, "www-authenticate": 'Bearer error_description="no"'}
    found = rest_answer(status, headers, prefix + body)
    outcome = bulk_outcome(found.status, headers, found.body, events_total, 0.0, SECRET)
    assert isinstance(outcome, OUTCOMES)
    assert not isinstance(outcome, Accepted) or 200 <= status < 300
    assert getattr(outcome, "detail", "").isprintable()
    limits = limits_outcome(found.status, headers, found.body, 0.0, SECRET)
    assert isinstance(limits, LIMITS_OUTCOMES)


wraps = st.sampled_from(
    [
        b"%b",
        b'{"statusCode":400,"message":%b}',
        b'{"statusCode":400,"message":{"code":%b}}',
        b'{"statusCode":400,"message":"","errors":[{"path":["events",0,%b],"message":%b}]}',
        b'{"success":true,"results":[{"reference":"a","creditDebit":%b}]}',
        b'{"error":{"code":1,"message":%b,"data":[{"path":["arguments",%b]}]}}',
        b'{"result":{"isError":true,"structuredContent":{"success":false,"error":{"message":"x","details":%b}}}}',
        b'{"result":{"isError":true,"structuredContent":%b}}',
        b'{"result":{"structuredContent":{"success":true,"data":%b}}}',
    ]
)


@given(wraps, st.sampled_from([(b"[", b"]"), (b'{"message":', b"}")]), st.integers(0, 1100), statuses)
def test_no_answer_makes_a_call_raise(wrap: bytes, nesting: tuple[bytes, bytes], depth: int, status: int) -> None:
    """However deep it is nested: what is raised here ends the process, and the same answer would end the next one."""
    nested = nesting[0] * depth + b"1" + nesting[1] * depth
    body = wrap.replace(b"%b", nested)
    reply = httpx.Response(max(status, 200), content=body, headers={"content-type": "application/json"})
    connections = InProcess(httpx.MockTransport(lambda _: reply))
    for framing in (RestFraming, McpFraming):
        billing = HttpBilling(framing("http://provider", "key"), 5.0, connections=connections)
        assert isinstance(asyncio.run(billing.record_bulk([b"{}"], lambda: True)), OUTCOMES)
        assert isinstance(asyncio.run(billing.check_limits({})), LIMITS_OUTCOMES)


@given(st.integers(1, 20), st.integers(0, 20), st.integers(200, 299))
def test_accepted_means_exactly_one_reference_per_event(events_total: int, results_total: int, status: int) -> None:
    """An answer of any other length is never taken for acceptance."""
    body = json.dumps({"success": True, "results": [{"reference": f"u{i}"} for i in range(results_total)]}).encode()
    found = bulk_outcome(status, {}, body, events_total, 0.0)
    assert isinstance(found, Accepted) == (events_total == results_total)


@given(st.integers(0, 400))
def test_a_cut_acceptance_is_never_a_refusal_and_never_an_acceptance(length: int) -> None:
    """Wherever the provider's answer is cut after its first byte, the outcome is unknown."""
    whole = json.dumps({"success": True, "inserted": 9, "results": [{"reference": f"usage_{i}"} for i in range(9)]})
    cut = whole[: 1 + length % (len(whole) - 1)].encode()
    found = bulk_outcome(200, {}, cut, 9, 0.0)
    assert isinstance(found, TryAgain)
    assert found.outcome_unknown


@given(statuses, headers, bodies | echoes)
def test_every_answer_to_a_limits_question_has_a_meaning(status: int, headers: dict[str, str], body: bytes) -> None:
    """No exception and no secret in what is said about it."""
    found = limits_outcome(status, headers, body, 1.9e9, SECRET)
    assert isinstance(found, LIMITS_OUTCOMES)
    assert SECRET not in getattr(found, "detail", "")
