"""What an answer over MCP says, put as the provider puts it over REST: so both mean the same (`answers`).

Pure and total. An answer has up to four layers, and each may be missing: an event stream, JSON-RPC, the result of a
tool (structured, or a text block with JSON in it), and the provider's envelope `{"success", "data" | "error"}`.
"""

import re
from collections.abc import Mapping

import msgspec

from meter.billing.calling import Answer
from meter.billing.provider_error import decode, in_words

_CUT_SHORT = b"{"
"""Stands for an answer that is the provider's, but damaged."""

_STATUSES = {"NOT_FOUND": 404, "VALIDATION_ERROR": 400, "UNAUTHORIZED": 401}
"""The codes of failed tools; any other, INTERNAL_ERROR above all, may come after events were inserted."""
_INTERNAL_ERROR = 500
_NO_SUCH_ROUTE = 404

_UNAUTHORIZED = -32001
_NO_SUCH_THING = frozenset({-32700, -32600, -32601, -32602})  # we, or the address, are not what the server expects
_ABOUT_SOMETHING = frozenset({404, 409, 422})

# what servers made with the official SDKs say by themselves, as an error or as the text of a failed tool
_BAD_ARGUMENTS = re.compile(r"Input validation error|Invalid arguments for tool|validation errors? for \w+Arguments")
_NO_SUCH_TOOL = re.compile(r"Unknown tool\b|\bTool \S+ (not found|disabled)")
# never inside quotes: what somebody sent may be quoted
_NAMED_IN_WORDS = re.compile(r"(?<![\w.'\"`])events(?:\.(\d+)|\[(\d+)\])([\w.\[\]]*)\s*:?\s*([^;\n]*)")
_BEGINS_LIKE_RPC = re.compile(rb'\s*(\{\s*("(jsonrpc|id|result|error)"|$|"\w*$)|event\s*:|data\s*:|id\s*:|:)')
_NO_MESSAGE = b"data:"
_DESCRIPTION = re.compile(r'error_description="([^"]*)"')


class _Rpc(msgspec.Struct, gc=False):
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Result(msgspec.Struct, gc=False):
    content: msgspec.Raw = msgspec.Raw(b"[]")
    structuredContent: msgspec.Raw = msgspec.Raw()  # noqa: N815  # the protocol's own spelling
    isError: bool | None = False  # noqa: N815  # the protocol's own spelling


class _Envelope(msgspec.Struct, gc=False):
    success: bool
    data: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_rpc_decoder = msgspec.json.Decoder(_Rpc)
_result_decoder = msgspec.json.Decoder(_Result)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def rest_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Status and body as the REST twin of the tool would have given them.

    An answer that is not MCP is left as it is.
    """
    if headers.get("content-type", "").lstrip().lower().startswith("text/event-stream"):
        body = _message_of(body)
    try:
        rpc = _rpc_decoder.decode(body)
    except _UNREADABLE:
        damaged = 200 <= status < 300 and _BEGINS_LIKE_RPC.match(body[:100]) is not None
        return Answer(status, _CUT_SHORT if damaged else body)
    result, error = _given(rpc.result), _given(rpc.error)
    if error:
        return _rpc_error(status, headers, decode(error))
    return _tool_result(status, result) if result and 200 <= status < 300 else Answer(status, body)


def _message_of(stream: bytes) -> bytes:
    """The response among the messages of an event stream."""
    for event in stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        message = b"\n".join(lines)
        if lines and _is_response(message):
            return message
    return _NO_MESSAGE


def _is_response(message: bytes) -> bool:
    try:
        rpc = _rpc_decoder.decode(message)
    except _UNREADABLE:
        return False
    return bool(_given(rpc.result) or _given(rpc.error))


def _given(layer: msgspec.Raw) -> bytes:
    """Empty for a layer that is not there; some servers write null for that."""
    found = bytes(layer)
    return b"" if found == b"null" else found


def _tool_result(status: int, result_json: bytes) -> Answer:
    try:
        result = _result_decoder.decode(result_json)
    except _UNREADABLE:
        return Answer(status, _CUT_SHORT)
    said = _given(result.structuredContent) or _text(result.content)
    try:
        envelope = _envelope_decoder.decode(said)
    except _UNREADABLE:
        return _failed(decode(said) or said.decode("utf-8", "replace")) if result.isError else Answer(status, said)
    if envelope.success and not result.isError:
        return Answer(status, _given(envelope.data) or said)
    if not envelope.success and not _given(envelope.error):  # a bare answer with a `success` of its own
        return Answer(_INTERNAL_ERROR if result.isError else status, said)
    return _failed(decode(_given(envelope.error) or said))


def _text(content: msgspec.Raw) -> bytes:
    """The text blocks of a result, together."""
    blocks = decode(bytes(content))
    texts = [block.get("text") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    return "".join(text for text in texts if isinstance(text, str)).encode("utf-8", "replace")


def _failed(problem: object) -> Answer:
    """A tool that failed: the provider's `{"code", "message"}`, its error of REST, or words of the server's own."""
    if not isinstance(problem, dict):
        words = in_words(problem)
        if _NO_SUCH_TOOL.search(words):
            return _below(_NO_SUCH_ROUTE, words)
        return _error(400 if _BAD_ARGUMENTS.search(words) else _INTERNAL_ERROR, words)
    status = problem.get("statusCode")
    if type(status) is not int or not 400 <= status < 600:
        status = _STATUSES.get(in_words(problem.get("code")), _INTERNAL_ERROR)
    message = problem.get("message") or problem.get("error") or problem.get("code")
    details = next((problem[name] for name in ("errors", "details", "issues") if problem.get(name)), None)
    return _error(status, message, details)


def _rpc_error(status: int, headers: Mapping[str, str], problem: object) -> Answer:
    """A refusal below the tools: by its HTTP status, and where that says nothing by its code."""
    known = problem if isinstance(problem, dict) else {}
    code, message = known.get("code"), in_words(known.get("message", ""))
    if status == 401:
        told = _DESCRIPTION.search(headers.get("www-authenticate", ""))
        return _error(401, told.group(1) if told else message)
    if _BAD_ARGUMENTS.search(message) and (status == 400 or 200 <= status < 300):
        return _error(400, message, known.get("data"))
    if status in _ABOUT_SOMETHING:
        return _error(status, message)
    if 200 <= status < 300:
        if code == _UNAUTHORIZED and "unauthorized" in message.lower():
            return _error(401, message)
        status = _NO_SUCH_ROUTE if isinstance(code, int) and code in _NO_SUCH_THING else _INTERNAL_ERROR
    return _below(status, message)


def _below(status: int, message: str) -> Answer:
    """Words of a server, and not the provider's: what it says is about us or the address, never about events."""
    return Answer(status, msgspec.json.encode({"message": message}))


def _error(status: int, message: object, details: object = None) -> Answer:
    """The provider's error form, with the events that details or words name."""
    words = in_words(message)
    errors = _in_arguments(details) or _in_arguments(_listed(words)) or _named(words)
    return Answer(status, msgspec.json.encode({"statusCode": status, "message": words, "errors": errors}))


def _listed(words: str) -> object:
    """The list of faults that servers with zod print into their message."""
    return decode(words[words.find("[") :].encode("utf-8", "replace")) if "[" in words else None


def _in_arguments(faults: object) -> list[object]:
    """The faults with their paths as REST has them: beginning at the arguments, not above."""
    found: list[object] = []
    for fault in faults if isinstance(faults, list) else []:
        path = fault.get("path") if isinstance(fault, dict) else None
        if isinstance(path, list):
            steps = [step for step in path if isinstance(step, str | int)]
            message = in_words(fault.get("message", ""))
            found.append({"path": steps[steps[:1] == ["arguments"] :], "message": message})
    return found


def _named(words: str) -> list[object]:
    return [
        {"path": ["events", int(dotted or bracketed), *filter(None, field.split("."))], "message": what.strip()}
        for dotted, bracketed, field, what in _NAMED_IN_WORDS.findall(words)
        if len(dotted or bracketed) <= 4
    ]
