"""What became of the events so far: the numbers that metrics and `/status` show."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NORMAL = frozenset({"duplicate", "plan_not_credit_based"})
"""Reasons for not debiting that nobody needs to look at: debited already, or paid for in another way."""
NAMED = frozenset({"no_product_ref", "customer_not_found", "no_active_purchase"})
OTHER = "other"
"""Whatever else the provider says: its words are no label, since they may be without number."""


@dataclass(slots=True)
class Counts:
    """Plain numbers, written by the machine after the outcome; read between two of its steps they are consistent."""

    consumed: int = 0
    """Events taken from the topic; the same offset again in one assignment is not counted again."""
    accepted: int = 0
    duplicate: int = 0
    released: int = 0
    """Handed back unended when their partition was revoked."""
    held: int = 0
    """What really waits now: set from the machine's own set of held events, never derived from the rest."""
    dead_lettered: dict[str, int] = field(default_factory=dict)
    """Reason -> events."""
    not_debited: dict[str, int] = field(default_factory=dict)
    """Reason -> accepted events for which the provider debited nothing, without what is normal."""
    units_accepted: int = 0
    batches: dict[str, int] = field(default_factory=dict)
    """Trigger (`count`, `bytes`, `age`, `drain`) -> batches."""
    lost_records: int = 0
    """Records that fell out of retention before they were read."""
    cut_logs: int = 0
    """Partitions that were taken over with a log that ends below the group's commit."""

    def dead_letter(self, reason: str) -> None:
        """One more is in the dead letters, acknowledged."""
        self.dead_lettered[reason] = self.dead_lettered.get(reason, 0) + 1

    def undebited(self, reasons: Iterable[str]) -> None:
        """Accepted events for which nothing was debited, each with the provider's reason."""
        for reason in reasons:
            if reason not in NORMAL:
                shown = reason if reason in NAMED else OTHER
                self.not_debited[shown] = self.not_debited.get(shown, 0) + 1

    @property
    def dead_lettered_total(self) -> int:
        """Over all reasons."""
        return sum(self.dead_lettered.values())

    def balanced(self) -> bool:
        """Invariant 2: every event consumed has ended, was released, or is held."""
        ended = self.accepted + self.duplicate + self.dead_lettered_total
        return self.consumed == ended + self.released + self.held

    def events(self) -> Mapping[str, int]:
        """The `events` object of `/status`."""
        return {
            "consumed": self.consumed,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "dead_lettered": self.dead_lettered_total,
            "released": self.released,
            "held": self.held,
        }
