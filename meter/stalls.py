"""Partitions that have records from which nothing arrives: what a client looks like that has silently stopped."""

from collections.abc import Mapping

from meter.pipeline.start import Bounds


class Stalls:
    """Remembers since when each partition has stood still with something left to read."""

    def __init__(self, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        self._since: dict[int, tuple[int, float]] = {}

    def look(self, behind: Mapping[int, int], ends: Mapping[int, Bounds], steady_seconds: float) -> list[int]:
        """Those that have stood still for too long; one of which nothing is known, or nothing is left, never has."""
        since = {}
        for partition, records in behind.items():
            if records:
                position = ends[partition].end - records
                before, first = self._since.get(partition, (position, steady_seconds))
                since[partition] = (position, first if before == position else steady_seconds)
        self._since = since
        return sorted(p for p, (_, first) in since.items() if steady_seconds - first >= self._after_seconds)
