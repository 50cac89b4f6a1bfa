"""What goes over a connection to the provider, and who takes it there; the seam of the tests."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import httpx

from meter.billing.reply import Reply
from meter.billing.sending import Sending


class Origin(NamedTuple):
    """The server of an address; None is the scheme's own port."""

    scheme: str
    host: str
    port: int | None


class Target:
    """Where requests of one kind go, and what each of them says before its length.

    Written out once: a request then costs no more than its own bytes. Shows nothing of itself, it holds the key.
    """

    __slots__ = ("_opening", "origin")

    def __init__(self, url: httpx.URL, headers: Mapping[str, str]) -> None:
        self.origin = Origin(url.scheme, url.raw_host.decode("ascii"), url.port)
        lines = [b"POST %s HTTP/1.1" % url.raw_path, b"Host: %s" % url.netloc]
        lines += [f"{name}: {value}".encode("ascii") for name, value in headers.items()]
        self._opening = b"\r\n".join(lines) + b"\r\nContent-Length: "

    def head(self, body: bytes) -> bytes:
        """The head of a request with this body."""
        return b"%s%d\r\n\r\n" % (self._opening, len(body))


class Connections(Protocol):
    """Whatever brings a request to its server."""

    async def exchange(self, origin: Origin, head: bytes, body: bytes, sending: Sending) -> Reply:
        """Send it at most once, as long as `sending` allows, and read the reply.

        Raises NotConnected when nothing can have been sent, and Unavailable for any other trouble on the way.
        """

    async def close(self) -> None:
        """Close what is idle; requests under way go on."""
