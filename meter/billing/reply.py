"""One HTTP/1.1 response, put together from whatever pieces arrive."""

import zlib
from collections.abc import Mapping

import httptools

from meter.errors import Unavailable

MAX_REPLY_BYTES = 16 * 1024 * 1024
_EITHER_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})


class Reply:
    """Feed it bytes until `complete`; interim responses (1xx) are passed over."""

    def __init__(self) -> None:
        self.status = 0
        self.complete = False
        self.keep_alive = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._ends_with_connection = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def headers(self) -> Mapping[str, str]:
        """By name in lower case; those that came twice are joined as HTTP says."""
        joined: dict[str, str] = {}
        for raw_name, raw_value in self._headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return joined

    @property
    def body(self) -> bytes:
        """The body; we ask for it as it is, and what comes compressed all the same is unpacked.

        Raises Unavailable when it cannot be.
        """
        packed = b"".join(self._pieces)
        if not any(name.lower() == b"content-encoding" for name, _ in self._headers):
            return packed
        return _unpacked(packed) if self.headers["content-encoding"].lower() in _COMPRESSED else packed

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises Unavailable when they are not HTTP, or too many."""
        self._size_bytes += len(data)
        if self._size_bytes > MAX_REPLY_BYTES:
            raise Unavailable("the answer is too long")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise Unavailable("the answer is not HTTP") from error
            self.keep_alive = False  # whatever follows a complete answer makes the connection useless, not the answer

    def end(self) -> None:
        """The other side closed. Raises Unavailable unless that is how this response ends."""
        if not self._ends_with_connection:
            raise Unavailable("the connection was closed before the answer was complete")
        self.complete = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser found a header."""
        if not self.complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The parser found the end of a head."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        names = {name.lower() for name, _ in self._headers}
        self._ends_with_connection = not names & {b"content-length", b"transfer-encoding"}

    def on_body(self, piece: bytes) -> None:
        """The parser found a piece of the body."""
        if not self.complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The parser found the end of a response."""
        if 100 <= self.status < 200 and self.status != 101:
            self._headers.clear()
            self._ends_with_connection = False
        elif not self.complete:
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj(_EITHER_GZIP_OR_ZLIB).decompress(packed, MAX_REPLY_BYTES)
    except zlib.error as error:
        raise Unavailable("the answer is compressed, and damaged") from error
