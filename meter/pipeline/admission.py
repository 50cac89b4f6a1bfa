"""Which events are billed: a key belongs to one event at a time, and to none after one was accepted under it."""

from collections.abc import Iterable, Sequence

from meter.pipeline.dedupe import Window
from meter.pipeline.dispatch import Dispatch
from meter.pipeline.event import UsageEvent
from meter.pipeline.holding import Holding
from meter.pipeline.now import Now
from meter.pipeline.settlement import CONFLICT, Settlement
from meter.pipeline.usage import PendingUsage


class Admission:
    """Between the window of accepted ids, the keys on their way, and the way to the provider."""

    def __init__(
        self, window: Window, holding: Holding, usage: PendingUsage, dispatch: Dispatch, settlement: Settlement
    ) -> None:
        self._window = window
        self._holding = holding
        self._usage = usage
        self._dispatch = dispatch
        self._settlement = settlement

    def admit(self, partition: int, events: Sequence[UsageEvent], now: Now) -> None:
        """Of these new events, copies of accepted ones are duplicates, copies of held ones wait, the rest is billed."""
        known = self._window.lookup([event.key for event in events])
        copies = [events[index] for index in sorted(known) if self._says_the_same(known[index], events[index])]
        self._settlement.duplicates(partition, copies, now.steady_seconds)
        new = [event for index, event in enumerate(events) if index not in known] if known else events
        self._take_turn(self._holding.claim(new), now)

    def settle(self, accepted: Sequence[UsageEvent], now: Now) -> None:
        """These were accepted: copies that waited for them are duplicates now, or conflicts."""
        self._usage.leave(accepted, sent=True)
        for event, copy in self._holding.settle(accepted):
            if self._says_the_same(event.digest, copy):
                self._settlement.duplicates(copy.partition, [copy], now.steady_seconds)

    def give_up(self, events: Iterable[UsageEvent], now: Now) -> None:
        """These end unaccepted: their keys are free, and a waiting copy takes its turn."""
        for event in events:
            self._usage.leave((event,), sent=event.attempts > 0)
            copy = self._holding.give_up(event.key)
            if copy is not None:
                self._take_turn([copy], now)

    def _take_turn(self, events: Sequence[UsageEvent], now: Now) -> None:
        """These events own their keys now and are to be billed."""
        self._usage.hold(events)
        self._dispatch.add(events, now.steady_seconds)

    def _says_the_same(self, digest: int, copy: UsageEvent) -> bool:
        """A copy of an accepted event is a duplicate if it says the same, else somebody has to look at it."""
        if copy.digest == digest:
            return True
        detail = f"an event with this id but different contents was billed: {copy.key}"
        self._settlement.dead_letter(copy, CONFLICT, detail, owns_key=False)
        return False
