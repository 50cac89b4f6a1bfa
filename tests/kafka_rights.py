"""Rights on a broker of our own, granted over its open listener; aiokafka has no request for that."""

import socket
import struct

RESOURCES = {"topic": 2, "group": 3}
RIGHTS = {"Read": 3, "Write": 4, "Create": 5, "Alter": 7, "Describe": 8, "DescribeConfigs": 10}
_CREATE_ACLS, _VERSION, _CORRELATION_ID = 30, 1, 1
_ALLOW, _LITERAL = 3, 3


def grant(servers: str, user: str, resource: str, name: str, right: str) -> None:
    """`user` may from now on do what `right` says with the topic or group `name`, and with no other."""
    host, port = servers.split(":")
    acl = struct.pack(">b", RESOURCES[resource]) + _text(name) + struct.pack(">b", _LITERAL)
    acl += _text(f"User:{user}") + _text("*") + struct.pack(">bb", RIGHTS[right], _ALLOW)
    header = struct.pack(">hhi", _CREATE_ACLS, _VERSION, _CORRELATION_ID) + _text("tests")
    request = header + struct.pack(">i", 1) + acl
    with socket.create_connection((host, int(port)), timeout=30) as connection, connection.makefile("rb") as answers:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = answers.read(struct.unpack(">i", answers.read(4))[0])
    _correlation_id, _throttled, _results, error = struct.unpack_from(">iiih", answer)
    assert error == 0, answer


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
