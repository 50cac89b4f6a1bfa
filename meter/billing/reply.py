"""One HTTP/1.1 response, put together from whatever pieces arrive."""

import httptools
import httpx

MAX_REPLY_BYTES = 16 * 1024 * 1024


class Reply:
    """Feed it bytes until `complete`; interim responses (1xx) are passed over."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.keep_alive = False
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._ends_with_connection = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def body(self) -> bytes:
        """The body, as it came over the wire."""
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises httpx.RemoteProtocolError when they are not HTTP, or too many."""
        self._size_bytes += len(data)
        if self._size_bytes > MAX_REPLY_BYTES:
            raise httpx.RemoteProtocolError("the answer is too long")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise httpx.RemoteProtocolError("the answer is not HTTP") from error
            self.keep_alive = False  # whatever follows a complete answer makes the connection useless, not the answer

    def end(self) -> None:
        """The other side closed. Raises httpx.ReadError unless that is how this response ends."""
        if not self._ends_with_connection:
            raise httpx.ReadError("the connection was closed before the answer was complete")
        self.complete = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser found a header."""
        if not self.complete:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The parser found the end of a head."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        names = {name.lower() for name, _ in self.headers}
        self._ends_with_connection = not names & {b"content-length", b"transfer-encoding"}

    def on_body(self, piece: bytes) -> None:
        """The parser found a piece of the body."""
        if not self.complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The parser found the end of a response."""
        if 100 <= self.status < 200 and self.status != 101:
            self.headers.clear()
            self._ends_with_connection = False
        elif not self.complete:
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()
