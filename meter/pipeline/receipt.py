"""The receipt: what the provider has answered for, kept in Kafka before the offsets are committed.

One receipt names events of one source partition, as parallel columns. It lets a restarted process know exactly
what was billed, and lets anybody show from Kafka alone what became of an offset. Receipts are written at least
once: a reader takes one end per offset and counts units once per key.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

VERSION = 1
REPEAT = "duplicate"
"""The provider's reason for debiting nothing when it had the event already: what was debited was so the first time."""
ACCEPTED = "a"
DUPLICATE = "d"


class Owner(NamedTuple):
    """Whose receipts these are; two groups, providers or environments may share one topic."""

    group: str
    provider: str
    environment: str


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ends of some events of one source partition; every column has one entry per event."""

    v: int
    group: str
    provider: str
    environment: str
    partition: int
    batch: str
    at: float  # Unix seconds
    offsets: Sequence[int]
    keys: Sequence[str]
    ends: str  # one letter per event: `a` accepted, `d` duplicate of an accepted one
    references: Sequence[str]  # the provider's, "" for a duplicate
    digests: Sequence[int]
    undebited: Mapping[str, str] = {}  # index -> the provider's reason for not debiting

    @property
    def owner(self) -> Owner:
        """Who wrote it."""
        return Owner(self.group, self.provider, self.environment)


class _Versioned(msgspec.Struct):
    """As much of a receipt as every version has."""

    v: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Receipt)
_version_decoder = msgspec.json.Decoder(_Versioned)


def encode(receipt: Receipt) -> bytes:
    """The receipt as JSON."""
    return _encoder.encode(receipt)


def decode(value: bytes | None) -> Receipt | None:
    """The receipt in a record, or None for anything that is not one of a version we know."""
    if value is None:
        return None
    try:
        receipt = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    counts = {len(receipt.offsets), len(receipt.keys), len(receipt.ends), len(receipt.references), len(receipt.digests)}
    return receipt if receipt.v == VERSION and len(counts) == 1 else None


def newer_version(value: bytes | None) -> int | None:
    """The version of a receipt that only a newer meter can read; None for everything else."""
    if value is None:
        return None
    try:
        version = _version_decoder.decode(value).v
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return version if version > VERSION else None


def halves(receipt: Receipt) -> tuple[Receipt, Receipt]:
    """The same ends in two receipts, for a broker that does not take so large a record."""
    middle = len(receipt.offsets) // 2
    return _part(receipt, 0, middle), _part(receipt, middle, len(receipt.offsets))


def _part(receipt: Receipt, start: int, stop: int) -> Receipt:
    kept = {index: int(index) - start for index in receipt.undebited if start <= int(index) < stop}
    return msgspec.structs.replace(
        receipt,
        offsets=receipt.offsets[start:stop],
        keys=receipt.keys[start:stop],
        ends=receipt.ends[start:stop],
        references=receipt.references[start:stop],
        digests=receipt.digests[start:stop],
        undebited={str(moved): receipt.undebited[index] for index, moved in kept.items()},
    )
