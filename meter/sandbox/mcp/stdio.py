"""The tools on standard input and output, for clients that start their server themselves."""

from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server


async def serve_stdio(server: Server[Any]) -> None:
    """Serve until standard input ends; meanwhile whatever else is written to standard output goes to standard error."""
    try:
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
    except* BrokenPipeError:  # the client has gone without closing our input first: there is nobody to answer
        pass
