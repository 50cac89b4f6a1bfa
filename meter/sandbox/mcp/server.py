"""The tools as a server of the official SDK, created for each caller: nothing is remembered between requests."""

import sqlite3
import sys
from collections.abc import Callable, Mapping
from typing import Any

from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from meter.sandbox.faults.striker import MALFORMED, Connection, ConnectionCutError, FaultError, Route, Striker
from meter.sandbox.knobs import Knobs
from meter.sandbox.mcp import envelope
from meter.sandbox.mcp.arguments import Caller, call_of
from meter.sandbox.mcp.parameters import schema
from meter.sandbox.mcp.tools import ENDPOINT, Tool, tools
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError
from meter.sandbox.sales.renewals import Renewals

NAME, VERSION = "meter-sandbox", "1"
"""What clients show; the version is that of /openapi.json."""

INSTRUCTIONS = "A local copy of the billing provider: its thirteen tools, with test data only."


class StruckError(Exception):
    """What a fault makes of the whole exchange instead of the tool's answer: `fate` goes beside the protocol."""

    def __init__(self, fate: "Fate") -> None:
        super().__init__("A fault of the sandbox has struck this call")
        self.fate = fate


Fate = ConnectionCutError | ProviderError | Answer
"""The connection cut, an HTTP status, or a broken body."""


class Tools:
    """The thirteen tools over their routes."""

    def __init__(self, routes: Mapping[str, Route], striker: Striker, renewals: Renewals, knobs: Knobs) -> None:
        self._strict, self._bare = knobs.strict_names, knobs.bare_object
        self._renewals = renewals
        self._tools = {tool.name: tool for tool in tools(strict=self._strict)}
        self._routes = routes
        self._striker = striker
        self._listed = [self._shown(tool) for tool in self._tools.values()]

    def serve(self, caller: Callable[[], Caller], connection: Connection, told: Callable[[Fate], None]) -> Server[Any]:
        """A server for one caller; `told` hears what a fault makes of a call."""

        async def list_tools(_: object, params: object) -> types.ListToolsResult:
            return types.ListToolsResult(tools=self._listed)

        async def call_tool(_: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
            try:
                return await self.call(params.name, params.arguments or {}, caller(), connection)
            except StruckError as error:
                told(error.fate)
                raise MCPError(types.INTERNAL_ERROR, str(error)) from error

        return Server(
            NAME,
            version=VERSION,
            instructions=INSTRUCTIONS,
            get_tool_input_schema=self._input_schema,
            on_list_tools=list_tools,
            on_call_tool=call_tool,
        )

    async def call(
        self, name: str, arguments: Mapping[str, Any], caller: Caller, connection: Connection
    ) -> types.CallToolResult:
        """The result of one call. Raises MCPError for an unknown tool and StruckError."""
        tool = self._tools.get(name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {name!a}")
        try:
            self._renewals.settle(caller.now)
            call = call_of(tool, arguments, caller, strict=self._strict)
            return envelope.success((await self._answer(tool, call, connection)).body, bare=self._bare)
        except ProviderError as error:
            return envelope.failure(error)
        except RecursionError:
            return envelope.failure(ProviderError(400, "Arguments are nested too deeply"))
        except sqlite3.Error as error:
            print(f"meter sandbox: {name}: {error}", file=sys.stderr)  # noqa: T201  # the operator must see it
            return envelope.failure(ProviderError(500, "Internal server error"))

    async def _answer(self, tool: Tool, call: Call, connection: Connection) -> Answer:
        paths = (ENDPOINT, f"{ENDPOINT}/{tool.name}", call.path)
        try:
            answer = await self._striker.answer(call, self._routes[tool.name], connection, paths)
        except (ConnectionCutError, FaultError) as error:
            raise StruckError(error) from error
        if answer is MALFORMED:
            raise StruckError(answer)
        return answer

    def _shown(self, tool: Tool) -> types.Tool:
        return types.Tool(
            name=tool.name,
            description=tool.description,
            input_schema=schema(tool.parameters, strict=self._strict),
        )

    def _input_schema(self, name: str) -> Mapping[str, Any] | None:
        """What the SDK compares parameters in headers with; no parameter of ours may travel in one."""
        return None
