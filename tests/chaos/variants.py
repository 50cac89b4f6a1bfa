"""The ways in which `make chaos` is played: what the provider remembers, where copies go, how long outages last."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

MEMORY_SECONDS = 60.0
"""What a forgetful provider remembers of a key."""


@dataclass(frozen=True)
class Variant:
    """One way; each kind of fault strikes `times` times a seed."""

    says: str
    seeds: int = 20
    events: int = 50_000
    times: int = 3
    anywhere: bool = True
    """Copies go to any partition, not only to that of their original."""
    key_memory_seconds: float | None = None
    """None: the provider never forgets a key."""
    longest_outage_seconds: float | None = None
    """After each strike everything must be billed and committed again within this; None: nobody waits for that."""
    away_seconds: float | None = None
    """Meters, broker and provider are also away for so long, each once a seed."""

    @property
    def may_bill_twice(self) -> bool:
        """A provider that forgets cannot help where meter says that it needs its memory."""
        forgets = self.key_memory_seconds is not None
        return forgets and (self.anywhere or self.longest_outage_seconds is None)


_FORGETFUL = Variant(
    "the provider forgets keys after 60 s; copies stay in their partition, outages below 30 s",
    anywhere=False,
    key_memory_seconds=MEMORY_SECONDS,
    longest_outage_seconds=30.0,
)

VARIANTS: Mapping[str, Variant] = {
    "everything": Variant("the provider remembers every key"),
    "forgetful": _FORGETFUL,
    "million": Variant("the provider remembers every key", seeds=1, events=1_000_000),
    "forgetful-million": replace(_FORGETFUL, seeds=1, events=1_000_000),
    "unlimited": Variant(
        "the provider forgets keys after 60 s; copies anywhere, and outages that are longer than its memory",
        seeds=4,
        key_memory_seconds=MEMORY_SECONDS,
        away_seconds=MEMORY_SECONDS + 10,
    ),
}
