"""How one HTTP response is put together from the pieces that arrive."""

import gzip
import zlib
from collections.abc import Callable

import pytest

from meter.billing.reply import MAX_REPLY_BYTES, Reply
from meter.errors import Unavailable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
WITH_LENGTH = HEAD + b"Content-Length: 2\r\n\r\n{}"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
UNTIL_CLOSE = HEAD + b"\r\n{}"


def compressed(packed: bytes) -> bytes:
    """A response with this body."""
    return HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


def fed(data: bytes, size: int) -> Reply:
    """A reply that came in pieces of that size."""
    reply = Reply()
    for start in range(0, len(data), size):
        reply.feed(data[start : start + size])
    return reply


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("data", [WITH_LENGTH, CHUNKED])
def test_a_reply_is_complete_when_its_framing_says_so(data: bytes, size: int) -> None:
    """However it is cut on the way; the connection can be used again."""
    reply = fed(data, size)
    assert (reply.complete, reply.keep_alive, reply.status, reply.body) == (True, True, 200, b"{}")
    assert reply.headers["content-type"] == "application/json"


def test_every_shorter_piece_is_incomplete_and_its_end_a_cut() -> None:
    """A connection that closes early is an error, never a shorter answer."""
    for data in (WITH_LENGTH, CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n" + WITH_LENGTH):
        for length in range(len(data)):
            reply = fed(data[:length], 1000)
            assert not reply.complete
            with pytest.raises(Unavailable, match="closed before"):
                reply.end()


def test_a_reply_without_length_ends_with_its_connection() -> None:
    """Old proxies answer so; such a connection is not kept."""
    reply = fed(UNTIL_CLOSE, 1000)
    assert not reply.complete
    reply.end()
    assert (reply.complete, reply.keep_alive, reply.body) == (True, False, b"{}")


def test_interim_responses_are_passed_over() -> None:
    """100 Continue and 103 Early Hints are not the answer, nor are their headers."""
    reply = fed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WITH_LENGTH, 1000)
    assert (reply.status, reply.body, len(reply.headers)) == (200, b"{}", 2)
    assert reply.keep_alive


@pytest.mark.parametrize("close", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"])
def test_a_server_may_decline_to_keep_the_connection(close: bytes) -> None:
    """HTTP/1.0 and `Connection: close`."""
    reply = fed(close + b"Content-Length: 0\r\n\r\n", 1000)
    assert (reply.complete, reply.keep_alive) == (True, False)


@pytest.mark.parametrize("more", [b"HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx", b"rubbish"])
def test_what_follows_a_complete_reply_does_not_change_it(more: bytes) -> None:
    """An answer counts once it is complete."""
    reply = fed(WITH_LENGTH + more, 1000)
    assert (reply.complete, reply.status, reply.body) == (True, 200, b"{}")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"\x15\x03\x01\x00\x02\x02\x0a",
    ],
)
def test_what_is_not_http_is_an_error_of_the_protocol(data: bytes) -> None:
    """Another kind of server behind the address."""
    with pytest.raises(Unavailable, match="not HTTP"):
        fed(data, 1000)


def test_an_endless_reply_is_cut_off() -> None:
    """Memory is bounded whatever the other side sends."""
    endless = HEAD + b"Content-Length: 99999999999\r\n\r\n" + b"x" * MAX_REPLY_BYTES
    with pytest.raises(Unavailable, match="too long"):
        fed(endless, 1_000_000)


def test_headers_are_found_whatever_their_case_and_number() -> None:
    """By name in lower case; several of one name are one list."""
    reply = fed(HEAD + b"X-A: 1\r\nx-a: caf\xe9\r\nContent-Length: 0\r\n\r\n", 7)
    assert reply.headers["x-a"] == "1, caf\xe9"


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_compressed_body_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    """Nobody is asked to compress; something in front of the provider may do it all the same."""
    reply = fed(compressed(pack(b"{}" * 100)), 7)
    assert reply.body == b"{}" * 100


def test_a_damaged_compressed_body_is_trouble_on_the_way() -> None:
    """What the provider has said is not known then."""
    with pytest.raises(Unavailable, match="damaged"):
        fed(compressed(b"no gzip"), 7).body  # noqa: B018  # reading it is what fails
