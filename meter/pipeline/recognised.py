"""Offsets above the commit that a receipt names: delivered again, their events have already ended."""

from collections.abc import Sequence

_PIECE_BITS = 12


class Recognised:
    """Offset to key, for one partition.

    After a long wait for one event there can be hundreds of thousands. They are kept in pieces: a single dictionary of
    that size would hold the loop each time it grows, and would keep its memory when all have come.
    """

    def __init__(self) -> None:
        self._pieces: dict[int, dict[int, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, offsets: Sequence[int], keys: Sequence[str], first: int) -> None:
        """Those of these offsets that are not below `first`."""
        pieces = self._pieces
        for offset, key in zip(offsets, keys, strict=True):
            if offset >= first:
                piece = pieces.get(offset >> _PIECE_BITS)
                if piece is None:
                    piece = pieces[offset >> _PIECE_BITS] = {}
                piece[offset] = key

    def take(self, offset: int) -> str | None:
        """Its key, once."""
        piece = self._pieces.get(offset >> _PIECE_BITS)
        if piece is None:
            return None
        key = piece.pop(offset, None)
        if not piece:
            del self._pieces[offset >> _PIECE_BITS]
        return key
