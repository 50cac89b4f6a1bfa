"""Which keys are on their way, and which copies wait for them.

An idempotency key belongs to one event at a time, whatever the assignment did meanwhile: a copy of it waits,
held itself, until that event has ended, and takes its turn if it was not accepted.
"""

from collections import deque
from collections.abc import Callable, Sequence

from meter.pipeline.event import UsageEvent


class Holding:
    """Keys on their way, across all partitions and assignments of this process."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._copies: dict[str, deque[UsageEvent]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def claim(self, events: Sequence[UsageEvent]) -> Sequence[UsageEvent]:
        """Those whose key is theirs now; the others wait as copies of the ones whose keys they are."""
        keys = {event.key for event in events}
        if len(keys) == len(events) and self._keys.isdisjoint(keys):
            self._keys |= keys
            return events
        owners = []
        for event in events:
            if event.key not in self._keys:
                self._keys.add(event.key)
                owners.append(event)
            else:
                self._copies.setdefault(event.key, deque()).append(event)
        return owners

    def settle(self, events: Sequence[UsageEvent]) -> list[tuple[UsageEvent, UsageEvent]]:
        """These were accepted: their keys are free, and copies waited for some of them, as pairs (event, copy)."""
        left = len(self._keys) - len(events)
        self._keys.difference_update([event.key for event in events])
        if len(self._keys) != left:
            raise ValueError("an event ended whose key was not its own")
        if not self._copies:
            return []
        return [(event, copy) for event in events for copy in self._copies.pop(event.key, ())]

    def give_up(self, key: str) -> UsageEvent | None:
        """The key's event ended otherwise: the copy whose turn it is now, if one waits."""
        copies = self._copies.get(key)
        if not copies:
            self._keys.remove(key)
            return None
        event = copies.popleft()
        if not copies:
            del self._copies[key]
        return event

    def copies(self) -> list[UsageEvent]:
        """What waits for an event with the same key."""
        return [copy for copies in self._copies.values() for copy in copies]

    def take_copies(self, is_meant: Callable[[UsageEvent], bool]) -> list[UsageEvent]:
        """Removes and returns the copies that are meant: they wait no longer."""
        gone = [copy for copy in self.copies() if is_meant(copy)]
        for key in {copy.key for copy in gone}:
            kept = deque(copy for copy in self._copies[key] if not is_meant(copy))
            if kept:
                self._copies[key] = kept
            else:
                del self._copies[key]
        return gone
