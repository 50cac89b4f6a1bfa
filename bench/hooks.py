"""The smallest receiver of webhooks: `python -m bench.hooks PORT` takes everything and adds up distinct debits.

`GET /` tells what it has counted.
"""

import asyncio
import sys
from typing import Any

import msgspec

from bench.sink import Connection


class Hooks:
    """Answers 200 to every request; a body is an event."""

    def __init__(self) -> None:
        self.webhooks = 0
        self.debited = 0
        self.others = 0
        self._ids: set[str] = set()

    def answer(self, _: bytes, body: bytes) -> bytes:
        """The whole response to one request."""
        if body:
            self._count(msgspec.json.decode(body))
        told = {"webhooks": self.webhooks, "debited": self.debited, "others": self.others}
        shown = msgspec.json.encode(told)
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(shown) + shown

    def _count(self, event: dict[str, Any]) -> None:
        if event["id"] in self._ids:
            return
        self._ids.add(event["id"])
        self.webhooks += 1
        if event["type"] == "customer.credit.debited":
            self.debited -= event["data"]["object"]["amount"]
        else:
            self.others += 1


async def serve(port: int) -> None:
    """Until the process is told to end."""
    hooks = Hooks()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(hooks), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
