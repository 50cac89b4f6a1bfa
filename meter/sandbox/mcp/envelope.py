"""Results of tools: one text block with a JSON envelope, and the same object as structured content."""

from typing import Any

import msgspec
from mcp.types import CallToolResult, TextContent

from meter.sandbox.rest.errors import Issue, ProviderError

_MAX_ISSUES_TOLD = 20


def success(body: bytes, *, bare: bool = False) -> CallToolResult:
    """The envelope around a route's JSON answer; if `bare`, that answer itself."""
    return _result(body if bare else b'{"success":true,"data":' + body + b"}", failed=False)


def failure(error: ProviderError) -> CallToolResult:
    """The envelope of a refusal."""
    told = {"success": False, "error": {"code": code(error.status), "message": message(error)}}
    return _result(msgspec.json.encode(told), failed=True)


def code(status: int) -> str:
    """The tools' word for a status of REST; there is none for a conflict, which is an input that does not fit."""
    match status:
        case 404:
            return "NOT_FOUND"
        case 401 | 403:
            return "UNAUTHORIZED"
        case _ if 400 <= status < 500:
            return "VALIDATION_ERROR"
        case _:
            return "INTERNAL_ERROR"


def message(error: ProviderError) -> str:
    """What is wrong; for a failed validation with the place of each fault, at most twenty."""
    if not error.issues:
        return error.message
    told = "; ".join(_told(issue) for issue in error.issues[:_MAX_ISSUES_TOLD])
    more = len(error.issues) - _MAX_ISSUES_TOLD
    return f"{error.message}: {told}" + (f"; and {more} more" if more > 0 else "")


def _told(issue: Issue) -> str:
    place = ".".join(str(step) for step in issue["path"])
    return f"{place}: {issue['message']}" if place else str(issue["message"])


def _result(body: bytes, *, failed: bool) -> CallToolResult:
    content: Any = msgspec.json.decode(body)
    return CallToolResult(content=[TextContent(text=body.decode())], structured_content=content, is_error=failed)
