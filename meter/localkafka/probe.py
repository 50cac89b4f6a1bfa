"""When a broker is ready: it answers the question that every client asks first, and names itself as alive."""

import socket
import struct

_METADATA_KEY = 3
_METADATA_VERSION = 1
_CORRELATION_ID = 1
_RECEIVE_BYTES = 65_536


def answers(host: str, port: int, limit_seconds: float = 1.0) -> bool:
    """Whether a broker accepts a connection and lists at least one living broker, within the limit per step.

    A port that is merely open does not count: while it starts, a node listens before it serves.
    """
    try:
        with socket.create_connection((host, port), timeout=limit_seconds) as connection:
            connection.sendall(_metadata_request())
            return _broker_count(_receive(connection)) > 0
    except (OSError, struct.error):
        return False  # not there yet, or cut in the middle of the answer


def _metadata_request() -> bytes:
    # header: api key, version, correlation id, no client id; body: an empty list of topics
    body = struct.pack(">hhihi", _METADATA_KEY, _METADATA_VERSION, _CORRELATION_ID, -1, 0)
    return struct.pack(">i", len(body)) + body


def _receive(connection: socket.socket) -> bytes:
    received = b""
    while len(received) < 4 or len(received) < 4 + struct.unpack_from(">i", received)[0]:
        chunk = connection.recv(_RECEIVE_BYTES)
        if not chunk:
            raise ConnectionResetError("the answer was cut")
        received += chunk
    return received


def _broker_count(answer: bytes) -> int:
    _length, _correlation_id, brokers = struct.unpack_from(">iii", answer)
    return int(brokers)
