"""An event's identity: the idempotency key it is billed under, and the digest that tells a copy from a conflict.

Frozen: a derivation that changes bills events twice on upgrade. Golden tests hold the literal results.
"""

from hashlib import sha256
from typing import Final
from zlib import crc32

KEY_LIMIT = 256
"""UTF-16 units of an idempotency key: the provider counts as JavaScript does."""


def fit(key: str) -> str:
    """`key` if the provider takes its length, else `sha256:` and its hash."""
    # A character has at most two units, so a short key needs no counting.
    if len(key) <= KEY_LIMIT // 2 or len(key.encode("utf-16-le")) // 2 <= KEY_LIMIT:
        return key
    return "sha256:" + sha256(key.encode()).hexdigest()


def of_cloud_event(source: str, id_: str) -> str:
    """CloudEvents ids are unique within their source only."""
    return "ce:" + _hash(source, id_)


def of_request(request_id: str, customer: str, product: str, action: str) -> str:
    """A request id names a request; one request may cause an event per customer, product and action."""
    return "req:" + _hash(request_id, customer, product, action)


def of_origin(cluster_id: str, topic: str, partition: int, offset: int, timestamp_milliseconds: int) -> str:
    """The place of the record; cluster id and timestamp tell a topic from one recreated under its name."""
    return fit(f"{cluster_id}:{topic}:{partition}:{offset}:{timestamp_milliseconds}")


class Lines:
    """The lines of one content, in order: each is known by itself and by all lines before it.

    So a content under another file name, or one to which lines were added, has the keys that it had; and two equal
    lines are two events, in one content and in two that differ before them.
    """

    def __init__(self) -> None:
        self._so_far = sha256()

    def add(self, line: bytes) -> None:
        """The next line, without its end; a blank or broken one, too."""
        self._so_far.update(line + b"\n")

    def key(self) -> str:
        """Of the line that was added last."""
        return "line:" + self._so_far.hexdigest()


def of_named_line(name: str, number: int, content: str) -> str:
    """A line of what somebody has called `name`: known by that, its number and its content, whatever else changes."""
    return "line:" + _hash(name, str(number), content)


def of_conflict(key: str, origin: str) -> str:
    """An event whose own key was billed with other contents, and which somebody wants billed all the same.

    `origin` is `topic:partition:offset` of its record.
    """
    return "new:" + _hash(key, origin)


def digest(customer: str, product: str, action: str, units: int, outcome: str) -> int:
    """32 bits over what is billed, normalised; never over filled-in fields, which a retry fills in differently.

    The lengths in front and the units behind the last bar make the text unambiguous; lengths count characters.
    """
    text = _TEXT_OF_UNITS[units] if units < _FEW_UNITS else b"|%d" % units
    return crc32(text, _digests_of_names[customer, product, action, outcome])


class _DigestsOfNames(dict[tuple[str, str, str, str], int]):
    """Remembers what it was asked: a customer does the same thing again and again."""

    def __missing__(self, names: tuple[str, str, str, str]) -> int:
        if len(self) >= _NAMES_REMEMBERED:
            self.clear()
        customer, product, action, outcome = names
        digest = crc32(f"{len(customer)},{len(product)},{outcome},{customer}{product}{action}".encode())
        self[names] = digest
        return digest


_NAMES_REMEMBERED: Final = 32_768
_digests_of_names: Final = _DigestsOfNames()
_FEW_UNITS: Final = 1000
_TEXT_OF_UNITS: Final = [b"|%d" % units for units in range(_FEW_UNITS)]


def _hash(*parts: str) -> str:
    """SHA-256 in hex over the parts, each behind its length in bytes."""
    whole = sha256()
    for part in parts:
        encoded = part.encode()
        whole.update(b"%d:" % len(encoded))
        whole.update(encoded)
    return whole.hexdigest()
