"""An MCP endpoint over Streamable HTTP, asked with the official client: its tools, and a call of one."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx2
import mcp_types as types
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from meter import __version__
from meter.billing.calling import address, common_headers
from meter.errors import CommandFailed

MAX_PAGES = 100
_UNAUTHORIZED = -32001
_Found = TypeVar("_Found")


class McpEndpoint:
    """One endpoint and the key for it; each question is a connection of its own, without a proxy.

    Raises BadConfiguration for an address or a key that no request can carry; its methods raise CommandFailed when
    it cannot be asked, with one sentence that does not show the key.
    """

    def __init__(self, url: str, key: str, timeout_seconds: float, *, url_option: str = "billing.mcp_url") -> None:
        self.url = str(address(url_option, url))
        self._headers = {**common_headers(key), "X-API-Key": key}
        self._timeout_seconds = timeout_seconds

    async def tools(self) -> list[types.Tool]:
        """All its tools, page by page."""

        async def listed(client: Client) -> list[types.Tool]:
            found: list[types.Tool] = []
            cursor: str | None = None
            for _ in range(MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
            return found

        return await self._asked(listed)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """The tool's own answer, a failure among them."""
        return await self._asked(lambda client: client.call_tool(name, dict(arguments)))

    async def _asked(self, question: Callable[[Client], Awaitable[_Found]]) -> _Found:
        seconds = self._timeout_seconds
        try:
            async with httpx2.AsyncClient(headers=self._headers, timeout=seconds, trust_env=False) as http:
                transport = streamable_http_client(self.url, http_client=http)
                about = types.Implementation(name="meter", version=__version__)
                async with Client(transport, client_info=about, read_timeout_seconds=seconds) as client:
                    return await question(client)
        except Exception as error:  # whatever the SDK raises (groups, too) becomes the one sentence
            raise CommandFailed(self._sentence(_first(error))) from None

    def _sentence(self, error: BaseException) -> str:
        match error:
            case MCPError() if error.code == _UNAUTHORIZED and "unauthorized" in error.message.lower():
                return f"{self.url} does not accept the key: billing.secret_key must be one of its keys"
            case MCPError():
                return f"{self.url} answered with an error: {_line(error.message)}"
            case httpx2.TimeoutException() | TimeoutError():
                return f"{self.url} did not answer in {self._timeout_seconds:g} seconds"
            case httpx2.ConnectError():
                return f"nothing answers at {self.url}: {_line(str(error))}"
            case _:
                return f"{self.url} does not speak MCP as expected: {type(error).__name__}: {_line(str(error))}"


def _first(error: BaseException) -> BaseException:
    """The failure inside groups; the SDK's tasks fail in groups of one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:300]
