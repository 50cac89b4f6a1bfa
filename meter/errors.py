"""Every error that meter raises, named by what the caller does next.

MeterError
├── UserMistake          say it in one sentence, exit 2
│   ├── BadConfiguration   every fault of the settings at once
│   ├── NoStartingPoint    a group without offsets on a topic with records
│   └── Replaced           another process has joined under our own name
├── CommandFailed        say it in one sentence, exit 1
├── Unavailable          wait and try again: the other side is away
│   ├── Unauthenticated    it is there, but rejects our credentials
│   ├── NotConnected       nothing can have reached it: its answer is not missed
│   └── Silent             reconnect: it is there, but this client delivers nothing
├── Redelivered          forget it: the partition is no longer ours, its events will be delivered again
├── LostRange            continue at the log's start and report what is missing
├── RecordTooLarge       make the record smaller: split or cut it
└── Stuck                stop the process: only a restart can help
"""

from collections.abc import Sequence


class MeterError(Exception):
    """Base of all; `str()` is one clear sentence without a secret in it."""


class UserMistake(MeterError):
    """The command or its surroundings are wrong in a way that only the user can fix: exit 2."""


class BadConfiguration(UserMistake):
    """All faults of the configuration, one sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class NoStartingPoint(UserMistake):
    """The group has no offsets, the topic has records, and nobody said where to start."""


class Replaced(UserMistake):
    """Another process is the group's member of our name now: two were given it, or we were taken for dead."""


class CommandFailed(MeterError):
    """A one-shot command could not do its work: exit 1."""


class Unavailable(MeterError):
    """The other side (broker, provider) does not answer; trying again later is right."""


class Unauthenticated(Unavailable):
    """The other side is there and refuses our credentials; a retry helps once they are fixed."""


class NotConnected(Unavailable):
    """No connection came about, so the other side has surely heard nothing of what it was to be told."""


class Silent(Unavailable):
    """There are records, and none arrives: a new client helps, unless the cause is another one."""


class Redelivered(MeterError):
    """A commit came too late: the partition belongs to somebody else now; its events will be delivered again."""


class LostRange(MeterError):
    """Partitions whose position has fallen out of retention: partition -> the offset that was asked for."""

    def __init__(self, positions: dict[int, int]) -> None:
        super().__init__(f"records have expired before they were read, partitions {sorted(positions)}")
        self.positions = positions


class RecordTooLarge(MeterError):
    """The broker does not take a record of this size."""


class Stuck(MeterError):
    """The process cannot go on by itself; redelivery after a restart is the recovery."""
