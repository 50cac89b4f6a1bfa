"""The billing provider over MCP: a batch is one call of `record_bulk_usage`, a limits question one of `check_limits`.

Streamable HTTP towards a server without sessions, as the provider's is: every request stands for itself, so there is
no `initialize`, no session, and a request that got lost leaves nothing behind. The official client is of no use here:
it reconnects and sends again by itself, and cannot promise that no byte leaves after the lease.
"""

import itertools
from collections.abc import Mapping, Sequence

import msgspec

from meter.billing.calling import Answer, Call, address, common_headers, joined
from meter.billing.exchange import Target
from meter.billing.mcp_answers import rest_answer
from meter.billing.reply import Reply

PROTOCOL_VERSION = "2025-06-18"
"""The oldest revision with structured results: newer servers take it, too."""

_OPENING = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":'


class McpFraming:
    """The provider's MCP server. Raises BadConfiguration for an address or a key that no request can carry."""

    unasked_fields = frozenset({"checkoutUrl", "checkoutSessionId"})

    def __init__(self, mcp_url: str, secret_key: str) -> None:
        self.secret_key = secret_key
        url = address("billing.mcp_url", mcp_url)
        self._ids = itertools.count(1)
        said = {
            "X-API-Key": secret_key,
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": PROTOCOL_VERSION,
        }
        self._target = Target(url, common_headers(secret_key) | said)

    def bulk(self, bodies: Sequence[bytes]) -> Call:
        opening = _OPENING % (next(self._ids), b"record_bulk_usage") + b'{"events":['
        return Call(self._target, joined(opening, bodies, b"]}}}"))

    def limits(self, request: Mapping[str, object]) -> Call:
        opening = _OPENING % (next(self._ids), b"check_limits")
        return Call(self._target, opening + msgspec.json.encode(request) + b"}}")

    def read(self, reply: Reply) -> Answer:
        return rest_answer(reply.status, reply.headers, reply.body)
