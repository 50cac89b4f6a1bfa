"""One moment, as the core is told it: it never asks for the time itself."""

from typing import NamedTuple


class Now(NamedTuple):
    """`steady_seconds` for durations, `wall_seconds` (Unix) for what is billed or shown."""

    steady_seconds: float
    wall_seconds: float
