"""`meter call`: the tools of an MCP endpoint, listed or called; the sandbox's and the real provider's alike."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.errors import CommandFailed, UserMistake

if TYPE_CHECKING:  # the SDK takes a second that `meter --help` need not pay
    import mcp_types as types

    from meter.cli.mcp_endpoint import McpEndpoint

TIMEOUT_SECONDS = 30.0


def call(
    tool: Annotated[str | None, typer.Argument(help="Tool to call; without one, all tools are listed.")] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[JSON|KEY=VALUE]...", help="Arguments of the tool.")
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="List the tools, or only the one named.")] = False,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Endpoint to use instead of billing.mcp_url.")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="File that contains the endpoint's key."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tools of the provider's MCP endpoint, or call one of them."""
    endpoint = _endpoint(url, key_file, config)
    if tool is None or list_only:
        _show_tools(asyncio.run(endpoint.tools()), endpoint, tool, as_json=as_json)
        return
    _show_result(tool, asyncio.run(_called(endpoint, tool, arguments or [])), as_json=as_json)


def _endpoint(url: str | None, key_file: Path | None, config: Path | None) -> "McpEndpoint":
    from meter.cli.mcp_endpoint import McpEndpoint

    settings = read_settings(config, needs_secret_key=key_file is None).billing
    if key_file is not None:
        key = key_file.read_text(encoding="utf-8", errors="replace").strip()
    else:
        key = settings.plain_secret_key
    if url is not None:
        return McpEndpoint(url, key, TIMEOUT_SECONDS, url_option="--url")
    return McpEndpoint(settings.mcp_url, key, TIMEOUT_SECONDS)


async def _called(endpoint: "McpEndpoint", name: str, words: list[str]) -> "types.CallToolResult":
    from meter.cli.tool_arguments import read_arguments

    tool = _named(name, await endpoint.tools(), endpoint)
    return await endpoint.call(name, read_arguments(words, tool.input_schema))


def _named(name: str, tools: "list[types.Tool]", endpoint: "McpEndpoint") -> "types.Tool":
    for tool in tools:
        if tool.name == name:
            return tool
    known = ", ".join(tool.name for tool in tools) or "none"
    raise UserMistake(f"{endpoint.url} has no tool {name}; it has: {known}")


def _show_tools(tools: "list[types.Tool]", endpoint: "McpEndpoint", name: str | None, *, as_json: bool) -> None:
    from meter.cli.tool_page import listing

    shown = tools if name is None else [_named(name, tools, endpoint)]
    if as_json:
        typer.echo(json.dumps({"tools": [tool.model_dump(mode="json", by_alias=True) for tool in shown]}))
        return
    for line in listing(shown, endpoint.url):
        typer.echo(line)


def _show_result(name: str, result: "types.CallToolResult", *, as_json: bool) -> None:
    from meter.cli.tool_page import answer, problem

    wrong = problem(result)
    if as_json:
        typer.echo(json.dumps(result.model_dump(mode="json", by_alias=True, exclude_none=True)))
        raise typer.Exit(0 if wrong is None else 1)
    if wrong is not None:
        raise CommandFailed(f"{name} failed: {wrong}")
    for line in answer(result):
        typer.echo(line)
