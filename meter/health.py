"""Is this replica ready, and is it stuck? Decided from plain facts; the worker knows the facts, nobody else decides."""

from collections.abc import Collection
from dataclasses import dataclass

_UNREACHABLE_AFTER_SECONDS = 5.0
"""One failed request is weather; failing for this long without a success is a reason."""


_SEEN_LATE_SECONDS = 3.0
"""So late it may be seen from here that something moved, or that there is something to do: see `ends_every_seconds`."""
_SEEN_LATE_SHARE = 0.25
"""Where little time is allowed, no more of it than this is given to seeing late, and it is looked the more often."""


def patience_seconds(stuck_after_seconds: float) -> float:
    """Idle for so long, as seen from here, is stuck: less than what is allowed, by which it may be seen late."""
    return max(stuck_after_seconds - _SEEN_LATE_SECONDS, stuck_after_seconds * (1 - _SEEN_LATE_SHARE))


def ends_every_seconds(stuck_after_seconds: float) -> float:
    """How often the ends of the log are to be looked up: nothing else tells that there is something to read."""
    return min(_SEEN_LATE_SECONDS * 2 / 3, stuck_after_seconds * _SEEN_LATE_SHARE / 2)


@dataclass(frozen=True, slots=True)
class Facts:
    """How things stand; the defaults are those of a replica at work with nothing to do."""

    joined: bool = True
    """Member of the group, with its partitions (which may be none)."""
    kafka_trouble: str | None = None
    """Why the broker cannot be used now, one sentence."""
    filling: Collection[int] = ()
    """Partitions whose dedupe window is still being read."""
    filling_trouble: str = ""
    """Why the receipts of one of them cannot be read now, one sentence."""
    taking_over_seconds: float = 0.0
    """For so long a process whose place this one took may still be sending."""
    waiting_to_write: str | None = None
    """Why receipts or dead letters cannot be written now, one sentence."""
    billing_paused: str | None = None
    """The provider refuses us (or nearly everything that we send): the reason's name."""
    billing_failing_seconds: float = 0.0
    """Since the first request that failed without a success after it; 0 when the last one succeeded."""
    billing_trouble: str = ""
    """The last failure, one sentence."""
    waiting: bool = False
    """Nothing is under way or overdue: what is held waits for its batch or its next try, or was refused and waits for
    another event to be accepted."""
    awaits_answer: bool = False
    """The provider has been asked, and still has time to answer."""
    blocked: Collection[int] = ()
    """Partitions that an event without an end keeps from going on."""
    full_of_refused: Collection[int] = ()
    """Partitions that take no more records, while everything that is held was refused by the provider."""
    held: int = 0
    """Events without an end."""
    behind: int = 0
    """Records at the broker that could be read and were not, as last known."""
    client_suspected: bool = False
    """The Kafka client was recreated because nothing arrived, and nothing has moved since."""
    idle_seconds: float = 0.0
    """Since something last moved, there was nothing to do, or everybody knew why nothing moves."""
    draining: bool = False
    """Stopping: what is held is sent, nothing new is taken."""


def reasons(facts: Facts, stuck_after_seconds: float) -> list[str]:
    """Why this replica is not ready, one line each, `name: sentence`; empty when it is."""
    found = _kafka_reasons(facts) + _billing_reasons(facts)
    if facts.blocked:
        found.append(f"partition_blocked: an event that does not end blocks {_named(facts.blocked)}")
    if facts.full_of_refused:
        full = _named(facts.full_of_refused)
        found.append(f"partition_full: the provider has refused everything that is held, and no more fits into {full}")
    if facts.draining:
        found.append("draining: the process is stopping")
    if is_stuck(facts, stuck_after_seconds):
        standing = f"{facts.held} events are held and {facts.behind} records wait at the broker"
        found.append(f"stuck: {standing}, and nothing has moved for {facts.idle_seconds:.0f} s")
    return found


def is_stuck(facts: Facts, stuck_after_seconds: float) -> bool:
    """Nothing moves and nobody knows why: only then may a restart help, so only then is the process not alive."""
    return (
        has_no_excuse(facts) and not facts.awaits_answer and facts.idle_seconds >= patience_seconds(stuck_after_seconds)
    )


def has_no_excuse(facts: Facts) -> bool:
    """There is something to do, and no known cause why it should not be done."""
    joining = facts.kafka_trouble is not None or not facts.joined or bool(facts.filling)
    known = (
        (joining and not facts.client_suspected)  # what was to help and did not is no excuse
        or facts.taking_over_seconds > 0
        or facts.waiting_to_write is not None
        or facts.billing_paused is not None
        or facts.billing_failing_seconds > 0
        or (facts.waiting and not facts.behind)
        or facts.blocked
        or facts.draining
    )
    return facts.held + facts.behind > 0 and not known


class Idleness:
    """Since when nothing moves without an excuse."""

    def __init__(self, steady_seconds: float) -> None:
        self._since = steady_seconds
        self.moved = 0
        """Whatever had been done at the last look."""

    def look(self, moved: int, *, no_excuse: bool, steady_seconds: float) -> None:
        """`moved` only grows: whatever has been done so far. To be called often, for it sees only what it is told."""
        if moved != self.moved or not no_excuse:
            self.moved, self._since = moved, steady_seconds

    def seconds(self, steady_seconds: float) -> float:
        """For how long nothing has moved."""
        return steady_seconds - self._since


def _kafka_reasons(facts: Facts) -> list[str]:
    found = []
    if facts.kafka_trouble is not None:
        found.append(f"kafka: {facts.kafka_trouble}")
    if not facts.joined:
        found.append("kafka_not_joined: no partitions have been assigned yet")
    if facts.filling:
        trouble = f": {facts.filling_trouble}" if facts.filling_trouble else ""
        found.append(f"window_filling: receipts are being read for {_named(facts.filling)}{trouble}")
    if facts.taking_over_seconds > 0:
        wait = f"nothing is sent for {facts.taking_over_seconds:.0f} s"
        found.append(f"taking_over: {wait}: the previous owner of these partitions may still be sending")
    if facts.waiting_to_write is not None:
        found.append(f"kafka_write: {facts.waiting_to_write}")
    return found


def _billing_reasons(facts: Facts) -> list[str]:
    if facts.billing_paused is not None:
        sentence = facts.billing_trouble or "nothing is sent until this is fixed"
        return [f"billing_paused: {facts.billing_paused}: {sentence}"]
    if facts.billing_failing_seconds > _UNREACHABLE_AFTER_SECONDS:
        return [f"billing_unreachable: for {facts.billing_failing_seconds:.0f} s: {facts.billing_trouble}"]
    return []


def _named(partitions: Collection[int]) -> str:
    """`partition 3`, `partitions 1, 2, 3`, or the first few and how many more."""
    first = sorted(partitions)[:5]
    more = len(partitions) - len(first)
    listed = ", ".join(map(str, first)) + (f" and {more} more" if more else "")
    return f"partition{'s' if len(partitions) > 1 else ''} {listed}"
