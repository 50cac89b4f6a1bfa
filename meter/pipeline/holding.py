"""Which keys are on their way, and which copies wait for them.

An idempotency key belongs to one event at a time, whatever the assignment did meanwhile: a copy of it waits,
held itself, until that event has ended, and takes its turn if it was not accepted.
"""

from collections import deque

from meter.pipeline.event import UsageEvent


class Holding:
    """Keys on their way, across all partitions and assignments of this process."""

    def __init__(self) -> None:
        self._originals: dict[str, UsageEvent] = {}
        self._copies: dict[str, deque[UsageEvent]] = {}

    def __len__(self) -> int:
        return len(self._originals)

    def claim(self, event: UsageEvent) -> bool:
        """True: the key is this event's now. False: it waits as a copy of the one whose key it is."""
        if self._originals.setdefault(event.key, event) is event:
            return True
        self._copies.setdefault(event.key, deque()).append(event)
        return False

    def settle(self, key: str) -> deque[UsageEvent]:
        """The key's event was accepted: the key is free, and these were copies of it."""
        del self._originals[key]
        return self._copies.pop(key, deque())

    def give_up(self, key: str) -> UsageEvent | None:
        """The key's event ended otherwise: the copy whose turn it is now, if one waits."""
        del self._originals[key]
        copies = self._copies.get(key)
        if not copies:
            return None
        event = copies.popleft()
        if not copies:
            del self._copies[key]
        self._originals[key] = event
        return event

    def forget_copies(self, epochs: frozenset[int]) -> None:
        """Copies of these assignments wait no longer: they were released."""
        for key in list(self._copies):
            kept = deque(event for event in self._copies[key] if event.epoch not in epochs)
            if kept:
                self._copies[key] = kept
            else:
                del self._copies[key]
