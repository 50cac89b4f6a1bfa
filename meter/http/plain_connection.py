"""One HTTP/1.1 connection that stays one: whoever offers another protocol is answered in this one.

Java's own client offers HTTP/2 (`Upgrade: h2c`) with every request over plain text. The parser would take all that
follows such a head for the other protocol, the body too.
"""

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class NotServedError(Exception):
    """Raised to the parser, which stops: what follows is not for us."""


class PlainConnection(HttpToolsProtocol):
    """An offer to change the protocol is read again as the same request without it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_offer = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, again and again if there are offers in it."""
        self._unset_keepalive_if_required()
        while data and not self.transport.is_closing():
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
            except httptools.HttpParserError:
                self._refuse()

    def on_headers_complete(self) -> None:
        """Begin to answer, unless it is an offer; a tunnel (CONNECT) is not for us."""
        if self.parser.get_method() == b"CONNECT":
            raise NotServedError
        self._is_offer = self.parser.should_upgrade()
        if not self._is_offer:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has arrived; an offer is about to be read again."""
        if not self._is_offer:
            super().on_message_complete()

    def _head_without_offer(self) -> bytes:
        request_line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([request_line, *headers, b"\r\n"])

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")
