"""Billing over MCP against servers of the official SDK: stateless, answering in JSON or in a stream of events."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import mcp_types as types
import pytest
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from meter.billing.calling import HttpBilling
from meter.billing.limits_outcome import LimitsAnswer
from meter.billing.mcp import McpFraming
from meter.pipeline.outcome import Accepted, Outcome, Refusal, Refused, Rejected
from tests.exchanges import InProcess

EVENTS = [b'{"customerRef":"cus_A"}', b'{"customerRef":"cus_B","units":2}']
LIMITS = {"withinLimits": True, "remaining": 13}


def recorded(events: list[dict[str, Any]]) -> dict[str, Any]:
    """A bulk answer."""
    return {"success": True, "results": [{"reference": event["customerRef"]} for event in events]}


@contextlib.asynccontextmanager
async def billing_of(server: Server[Any], *, json_response: bool, stateless: bool = True) -> AsyncIterator[HttpBilling]:
    """The transport with that server behind it, in process."""
    manager = StreamableHTTPSessionManager(server, json_response=json_response, stateless=stateless)
    async with manager.run():
        connections = InProcess(httpx.ASGITransport(app=manager.handle_request))
        yield HttpBilling(McpFraming("http://server/mcp", "key"), 5.0, connections=connections)


async def sent_to(server: Server[Any], *, json_response: bool = True, stateless: bool = True) -> Outcome:
    """What becomes of EVENTS there."""
    async with billing_of(server, json_response=json_response, stateless=stateless) as billing:
        return await billing.record_bulk(EVENTS, lambda: True)


def plain_server(*, structured: bool) -> Server[Any]:
    """Tools without any framework, whose results have a text block and, if `structured`, the same object beside."""

    async def call_tool(_: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        arguments = params.arguments or {}
        answer = recorded(arguments["events"]) if params.name == "record_bulk_usage" else LIMITS
        text = types.TextContent(text=json.dumps(answer))
        return types.CallToolResult(content=[text], structured_content=answer if structured else None)

    return Server("plain", on_call_tool=call_tool)


@pytest.mark.parametrize("json_response", [True, False])
@pytest.mark.parametrize("structured", [True, False])
async def test_both_calls_work_without_a_handshake(json_response: bool, structured: bool) -> None:
    """Whichever way the server answers."""
    async with billing_of(plain_server(structured=structured), json_response=json_response) as billing:
        assert await billing.record_bulk(EVENTS, lambda: True) == Accepted(["cus_A", "cus_B"])
        assert await billing.check_limits({"customerRef": "a", "productRef": "b"}) == LimitsAnswer(LIMITS)


@pytest.mark.parametrize("json_response", [True, False])
async def test_tools_made_of_functions_work_and_check_their_arguments(json_response: bool) -> None:
    """The SDK's own words for arguments that do not fit are understood as a refusal of the events."""
    server = MCPServer("functions")

    @server.tool()
    def record_bulk_usage(events: list[dict[str, str]]) -> dict[str, Any]:
        return recorded(events)

    async with billing_of(server._lowlevel_server, json_response=json_response) as billing:  # noqa: SLF001  # no public way
        assert await billing.record_bulk(EVENTS[:1], lambda: True) == Accepted(["cus_A"])
        refused = await billing.record_bulk(EVENTS, lambda: True)
    assert isinstance(refused, Rejected)
    assert list(refused.named) == [1]


async def test_a_server_without_our_tool_is_a_wrong_address() -> None:
    """Nobody's events are blamed."""
    outcome = await sent_to(MCPServer("empty")._lowlevel_server)  # noqa: SLF001  # as above
    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.WRONG_ADDRESS


async def test_a_server_that_wants_sessions_is_a_wrong_address() -> None:
    """It says so itself; meter opens none."""
    outcome = await sent_to(plain_server(structured=True), stateless=False)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.WRONG_ADDRESS
