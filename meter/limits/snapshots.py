"""The provider's last answers, bounded in number and age; each keeps its customer's counters alive through its pin."""

from collections import Counter, OrderedDict
from itertools import islice

from meter.limits.promise import Numbers
from meter.limits.question import Key
from meter.pipeline.usage import PendingUsage, Pin

_LOOKED_AT = 64
"""How many of the least used entries are looked at for one to drop; those with a running request stay."""


class Snapshot:
    """One answer of the provider, as of the moment when it was asked for."""

    __slots__ = ("at_steady_seconds", "at_wall_seconds", "body", "is_dropped", "numbers", "pin")

    def __init__(
        self, body: bytes, numbers: Numbers, pin: Pin, at_steady_seconds: float, at_wall_seconds: float
    ) -> None:
        self.body = body  # JSON: a fifth of the memory of a dict
        self.numbers = numbers
        self.pin = pin
        self.at_steady_seconds = at_steady_seconds
        self.at_wall_seconds = at_wall_seconds
        self.is_dropped = False  # its pin is gone, so it can promise nothing any more


class Snapshots:
    """Least recently used out first; a running request takes a place as well, and is never dropped."""

    def __init__(self, usage: PendingUsage, max_entries: int) -> None:
        self._usage = usage
        self._max_entries = max_entries
        self._places: OrderedDict[Key, Snapshot | None] = OrderedDict()  # least recently used first
        self._by_age: OrderedDict[Key, Snapshot] = OrderedDict()  # oldest first
        self._running: Counter[Key] = Counter()  # requests whose answer has not been read by all who wait for it

    def __len__(self) -> int:
        """Places taken: snapshots and first requests."""
        return len(self._places)

    def find(self, key: Key) -> Snapshot | None:
        """The snapshot of this key, used now."""
        snapshot = self._places.get(key)
        if snapshot is not None:
            self._places.move_to_end(key)
        return snapshot

    def begin(self, key: Key) -> bool:
        """A request for this key starts and gets its place; False: there is none."""
        if key not in self._places:
            if len(self._places) >= self._max_entries and not self._drop_one():
                return False
            self._places[key] = None
        self._places.move_to_end(key)
        self._running[key] += 1
        return True

    def end(self, key: Key) -> None:
        """The request is over and its answer read; a place without a snapshot is given back."""
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]
        if key not in self._running and self._places.get(key) is None:
            self._places.pop(key, None)

    def store(self, key: Key, snapshot: Snapshot) -> None:
        """The running request's answer takes the place of the one before."""
        self.forget(key)
        self._places[key] = snapshot
        self._places.move_to_end(key)
        self._by_age[key] = snapshot

    def forget(self, key: Key) -> None:
        """This snapshot is not true any more."""
        old = self._by_age.pop(key, None)
        if old is not None:
            self._places[key] = None
            old.is_dropped = True
            self._usage.unpin(old.pin)
        if key not in self._running:
            self._places.pop(key, None)

    def forget_older(self, than_steady_seconds: float, at_most: int) -> bool:
        """Drop what was asked for before this moment, unless it is about to be read; True: `at_most` were looked at."""
        oldest = list(islice(self._by_age.items(), at_most))
        for key, snapshot in oldest:
            if snapshot.at_steady_seconds >= than_steady_seconds:
                return False
            if key not in self._running:
                self.forget(key)
        return len(oldest) == at_most

    def _drop_one(self) -> bool:
        for _, key in zip(range(_LOOKED_AT), self._places, strict=False):
            if key not in self._running:
                self.forget(key)
                return True
        return False
