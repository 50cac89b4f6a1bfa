"""The official MCP client, connected to a sandbox in this process; how old its protocol is can be chosen."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from meter.sandbox.app import Sandbox

OLD, NEW = "legacy", "auto"
"""With the handshake of the protocols until 2025, and without."""


@asynccontextmanager
async def mcp_client(
    sandbox: Sandbox | None = None, *, url: str = "http://sandbox/mcp", era: str = NEW, key: str = "sk_sandbox_test"
) -> AsyncIterator[Client]:
    """A connected client of a sandbox, or of the one at `url`."""
    transport = None if sandbox is None else httpx2.ASGITransport(app=sandbox)
    headers = {"x-api-key": key} if key else {}
    async with (
        httpx2.AsyncClient(transport=transport, headers=headers, timeout=30) as http_client,
        Client(streamable_http_client(url, http_client=http_client), mode=era) as client,
    ):
        yield client


async def call(client: Client, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a successful call."""
    result = await client.call_tool(name, dict(arguments))
    assert not result.is_error, text(result)
    envelope: dict[str, Any] = result.structured_content
    assert envelope["success"] is True
    data: dict[str, Any] = envelope["data"]
    return data


async def refusal(client: Client, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The `error` of a call that must fail."""
    result = await client.call_tool(name, dict(arguments))
    assert result.is_error, text(result)
    error: dict[str, Any] = result.structured_content["error"]
    return error


def text(result: CallToolResult) -> str:
    """The text of a result that has one block."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text
