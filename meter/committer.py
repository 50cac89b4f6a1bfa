"""Commits of one membership, and what is done after one of which nobody knows what became of it.

It may have been applied, or may be yet, and somebody else may have committed since: what the group has is read before
the next commit, which never goes below that.
"""

import asyncio
from collections.abc import Iterable, Mapping

from meter.edges import EventSource
from meter.errors import Redelivered, Unavailable
from meter.pipeline.start import Committed

READ_BACK_SECONDS = 3.0
"""Less than the rebalance timeout leaves for the last commit of a revocation."""


class Committer:
    """One commit at a time; raises what the source raises."""

    def __init__(self, source: EventSource, read_back_seconds: float = READ_BACK_SECONDS) -> None:
        self._source = source
        self._read_back_seconds = read_back_seconds
        self._is_unknown = False
        self._least: Mapping[int, Committed] = {}
        self._is_over = False
        self._assignments = 0

    async def begin(self, starts: Mapping[int, Committed]) -> None:
        """The first commit of an assignment: it was decided by what the group has, and may go back."""
        self._least, self._is_over = {}, False
        self._assignments += 1
        await self._send(starts)

    def end(self) -> None:
        """The assignment is over: a commit of it that has not left yet would be one of the next."""
        self._is_over = True

    async def commit(self, commits: Mapping[int, Committed]) -> None:
        """Where the group turned out to be further, it stays there."""
        assignment = self._assignments
        if self._is_unknown and not self._is_over:
            self._least = await self._read_back(commits)
        if self._is_over or assignment != self._assignments:
            raise Redelivered("the assignment ended before its commit was sent: the events will be delivered again")
        await self._send({p: max(commit, self._least.get(p, commit), key=_offset) for p, commit in commits.items()})

    async def _send(self, commits: Mapping[int, Committed]) -> None:
        self._is_unknown = True  # however it ends, until it is accepted
        await self._source.commit(commits)
        self._is_unknown = False

    async def _read_back(self, partitions: Iterable[int]) -> Mapping[int, Committed]:
        try:
            async with asyncio.timeout(self._read_back_seconds):
                return await self._source.committed(partitions)
        except TimeoutError as late:
            raise Unavailable("cannot commit: Kafka does not say what became of the last commit") from late


def _offset(commit: Committed) -> int:
    return commit.offset
