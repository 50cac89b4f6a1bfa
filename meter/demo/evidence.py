"""What the outside world holds at the end: rows at the provider, dead letters, receipts, lag and counters."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meter.demo import topics
from meter.demo.processes import TOPIC
from meter.demo.provider import Provider
from meter.demo.reconciliation import Found, Origin
from meter.pipeline import receipt
from meter.pipeline.event import Record


@dataclass(frozen=True, slots=True)
class Receipted:
    """All receipts together, one end per source offset."""

    records_total: int
    ends: Mapping[Origin, tuple[str, str]]
    """Origin -> (key, `a` or `d`); accepted wins where a restart has written both."""

    @property
    def accepted_keys(self) -> frozenset[str]:
        """Keys that some receipt calls accepted."""
        return frozenset(key for key, end in self.ends.values() if end == receipt.ACCEPTED)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found, and what is merely shown."""

    found: Found
    receipted: Receipted
    dead_letters_total: int
    """Records in the dead-letter topic: at least one per origin."""
    provider: Mapping[str, int]

    @property
    def reasons(self) -> Counter[str]:
        """Dead letters by reason, one per origin."""
        return Counter(self.found.dead_lettered.values())


async def gather(bootstrap_servers: str, provider: Provider, status: Mapping[str, Any]) -> Evidence:
    """Read everything there is; `status` is the surviving process's own."""
    letters = await topics.read(bootstrap_servers, f"{TOPIC}-dead-letters")
    receipted = receipts(await topics.read(bootstrap_servers, f"{TOPIC}-receipts"))
    found = Found(
        rows=await provider.rows(),
        dead_lettered=dead_lettered(letters),
        receipted={origin: key for origin, (key, _) in receipted.ends.items()},
        accepted_keys=receipted.accepted_keys,
        lag={int(row["partition"]): row["lag"] for row in status["partitions"]},
        counters=status["events"],
    )
    return Evidence(found, receipted, len(letters), await provider.totals())


def dead_lettered(letters: Iterable[Record]) -> dict[Origin, str]:
    """Origin -> reason; a dead letter that was written twice counts once, one without an origin under -1."""
    reasons: dict[Origin, str] = {}
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers}
        _, _, place = headers.get("meter-origin", "").partition(":")
        partition, _, offset = place.partition(":")
        origin = Origin(int(partition), int(offset)) if offset else Origin(-1, letter.offset)
        reasons.setdefault(origin, headers.get("meter-reason", "(none)"))
    return reasons


def receipts(records: Sequence[Record]) -> Receipted:
    """One end per source offset, accepted over duplicate."""
    ends: dict[Origin, tuple[str, str]] = {}
    for record in records:
        read = receipt.decode(record.value)
        if read is None:
            continue
        for offset, key, end in zip(read.offsets, read.keys, read.ends, strict=True):
            origin = Origin(read.partition, offset)
            if origin not in ends or end == receipt.ACCEPTED:
                ends[origin] = (key, end)
    return Receipted(len(records), ends)
