"""Mistakes that somebody might make around the machine: in the worker, and in the hand-over of partitions."""

from tests.simulation.mistakes import Edit, Mutation


def _one(name: str, file: str, old: str, new: str) -> Mutation:
    return Mutation(name, (Edit(file, old, new),), "processes")


MUTATIONS = (
    _one(
        "a revocation does not wait for requests in flight",
        "rebalance.py",
        "await asyncio.gather(self._stop_filling(), self.quiet(self._options.hand_over_seconds))",
        "await self._stop_filling()",
    ),
    _one(
        "the first commit is not made before the first record",
        "rebalance.py",
        "        await self._committer.begin(notes)\n",
        "",
    ),
    _one(
        "the window is not filled before records come",
        "rebalance.py",
        "                tail = await self._read_tail(partition)\n",
        "                tail = _Tail(0, 0)\n",
    ),
    _one(
        "nobody waits for a member that was replaced",
        "rebalance.py",
        "wait_seconds = 0.0 if were_given_back(partitions, committed) else self._options.take_over_seconds",
        "wait_seconds = 0.0",
    ),
    _one(
        "a stop does not outlast inserts",
        "worker.py",
        "            await self._outlast_inserts()\n",
        "",
    ),
    _one(
        "our own receipts hide those of who had the partition meanwhile",
        "assignment.py",
        "            if receipts_offset == self._window_covers.get(partition):\n",
        "            if partition not in self._unfilled:\n",
    ),
)
