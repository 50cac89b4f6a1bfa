"""How long meter is surely a member of its group, and when to commit so that it stays one.

The broker checks member and generation of every commit and renews the session with it (classic protocol), so
after an accepted commit nobody else owns our partitions for one session timeout, counted from the commit's
start. A request may run for the billing timeout; what is left of the session after that, less a margin, is the
lease.

That holds for a member that is dropped. A static member is replaced at once, by a process that has its name, while it
may still have a lease: its replacement sends nothing for one session timeout.
"""

from collections.abc import Mapping

from meter.pipeline.start import Committed

KEEPALIVE_SECONDS = 0.8
"""While events are held, one commit at least this often, moved or not: the lease is renewed every second."""
MOVED_SECONDS = 0.2
"""A moved position is committed this soon; a commit for every batch would cost more than it saves."""

FEW_FAILURES = 3


class Commits:
    """The one commit outstanding, and the lease that the last accepted one gave."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._lease_until = float("-inf")
        self._waits_until = float("-inf")
        self._started_at: float | None = None
        self._last_start = float("-inf")
        self._failed = 0  # commits in a row
        self._wanted_since = float("-inf")  # the start of the first of them
        self._sent: Mapping[int, Committed] = {}
        self.accepted: dict[int, int] = {}
        """Partition -> the position that the broker has."""
        self.accepted_at = float("-inf")

    def lease_until(self) -> float:
        """Until then meter may send."""
        return self._lease_until

    def waits_until(self) -> float:
        """Before that an earlier owner may still be sending."""
        return self._waits_until

    def may_send(self, steady_seconds: float) -> bool:
        """Surely a member, and surely the only owner."""
        return self._waits_until <= steady_seconds < self._lease_until

    def is_outstanding(self) -> bool:
        """A commit is under way."""
        return self._started_at is not None

    def wait(self, until_seconds: float) -> None:
        """Until then somebody who had the partitions of the coming assignment may still be sending."""
        self._waits_until = until_seconds

    def assigned(self, positions: Mapping[int, int], started_at: float) -> None:
        """A new assignment, whose first commit, started then, was accepted."""
        self.accepted = dict(positions)
        self._lease_until = started_at + self._lease_seconds
        self._last_start = started_at
        self._failed = 0

    def lost(self) -> None:
        """No longer a member, or no longer surely one: nothing is sent until the next assignment."""
        self._lease_until = float("-inf")
        self.accepted = {}

    def due_at(self, positions: Mapping[int, int], *, is_holding: bool) -> float:
        """When the next commit is to start; infinity when there is no need, or one is under way."""
        if self._started_at is not None or not positions:
            return float("inf")
        if any(position != self.accepted.get(partition) for partition, position in positions.items()):
            return self._last_start + MOVED_SECONDS
        return self._last_start + KEEPALIVE_SECONDS if is_holding else float("inf")

    def refused_seconds(self, steady_seconds: float) -> float:
        """For how long commit after commit has not been accepted; 0 until a few have failed, after a pause perhaps."""
        return steady_seconds - self._wanted_since if self._failed >= FEW_FAILURES else 0.0

    def start(self, commits: Mapping[int, Committed], steady_seconds: float) -> None:
        """This commit is sent now."""
        self._started_at = self._last_start = steady_seconds
        if not self._failed:
            self._wanted_since = steady_seconds
        self._sent = commits

    def accept(self, steady_seconds: float) -> None:
        """The broker took it."""
        if self._started_at is None:
            return
        self._lease_until = self._started_at + self._lease_seconds
        self.accepted.update({partition: commit.offset for partition, commit in self._sent.items()})
        self.accepted_at = steady_seconds
        self._started_at = None
        self._failed = 0

    def fail(self, *, lost: bool) -> None:
        """It was not taken, or nobody knows; `lost`: because we are no longer a member."""
        self._started_at = None
        self._failed += 1
        if lost:
            self.lost()
