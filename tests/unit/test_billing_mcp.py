"""What McpFraming puts into a request; its deadline, permission and connections are those of REST."""

import json
from typing import Any

import httpx
import pytest

from meter.billing.calling import HttpBilling
from meter.billing.limits_outcome import LimitsAnswer
from meter.billing.mcp import McpFraming
from meter.errors import BadConfiguration
from meter.pipeline.buffer import ENVELOPE_BYTES
from meter.pipeline.outcome import Accepted
from tests.exchanges import InProcess

KEY = "sk_sandbox_4711"


class Recorder:
    """A provider that remembers the requests and answers each with the same data."""

    def __init__(self, data: object) -> None:
        self.requests: list[httpx.Request] = []
        self._data = data

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        result = {"content": [], "structuredContent": {"success": True, "data": self._data}}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": json.loads(request.content)["id"], "result": result})


def billing_of(recorder: Recorder) -> HttpBilling:
    """MCP with that provider in place of the network."""
    return HttpBilling(
        McpFraming("https://mcp.example.com/mcp", KEY), 5, connections=InProcess(httpx.MockTransport(recorder))
    )


def sent(request: httpx.Request) -> dict[str, Any]:
    """The message in a request."""
    message: dict[str, Any] = json.loads(request.content)
    return message


async def test_a_batch_is_one_call_of_a_tool_with_the_events_as_they_are() -> None:
    """One POST, nothing before it: the server has no sessions."""
    provider = Recorder({"success": True, "results": [{"reference": "a"}, {"reference": "b"}]})
    outcome = await billing_of(provider).record_bulk([b'{"customerRef":"A"}', b'{"customerRef":"B"}'], lambda: True)
    assert outcome == Accepted(["a", "b"])
    (request,) = provider.requests
    arguments = {"events": [{"customerRef": "A"}, {"customerRef": "B"}]}
    params = {"name": "record_bulk_usage", "arguments": arguments}
    assert sent(request) == {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    assert str(request.url) == "https://mcp.example.com/mcp"
    assert request.headers["x-api-key"] == KEY
    assert request.headers["accept"] == "application/json, text/event-stream"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["mcp-protocol-version"] == "2025-06-18"
    assert request.headers["content-length"] == str(len(request.content))


async def test_a_limits_question_is_passed_on_as_it_is() -> None:
    """Fields that meter does not know reach the provider, and its answer comes back whole."""
    answer = {"withinLimits": False, "remaining": 0, "used": 100}
    provider = Recorder(answer)
    billing, question = billing_of(provider), {"customerRef": "cus_A", "productRef": "prd_A", "meterName": "x"}
    for number in (1, 2):
        assert await billing.check_limits(question) == LimitsAnswer(answer)
        message = sent(provider.requests[-1])
        assert (message["id"], message["params"]) == (number, {"name": "check_limits", "arguments": question})


async def test_a_body_is_no_larger_than_its_batch_was_counted() -> None:
    """`batch.max_bytes` bounds the whole body, whichever the transport."""
    provider = Recorder({"success": True, "results": [{"reference": "a"}]})
    billing = billing_of(provider)
    for _ in range(3):
        await billing.record_bulk([b"{}"], lambda: True)
    assert all(len(request.content) <= len(b"{}") + ENVELOPE_BYTES for request in provider.requests)


@pytest.mark.parametrize("mcp_url", ["", "mcp.example.com", "ftp://x/mcp", "http://", "http://x/mcp?a=b"])
def test_an_address_that_no_request_can_go_to_is_a_bad_configuration(mcp_url: str) -> None:
    """Found at the start, in one sentence."""
    with pytest.raises(BadConfiguration, match=r"billing\.mcp_url"):
        McpFraming(mcp_url, KEY)


def test_a_key_that_no_header_can_carry_is_a_bad_configuration() -> None:
    """Found at the start, and without showing the key."""
    with pytest.raises(BadConfiguration) as caught:
        McpFraming("http://x/mcp", "s3c\r\nX-Evil: 1")
    assert "s3c" not in str(caught.value)
