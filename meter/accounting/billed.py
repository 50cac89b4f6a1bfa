"""Which keys receipts call accepted, and how far back receipts can tell: eight bytes a key."""

import math
from dataclasses import dataclass, field

import numpy as np

from meter.accounting.offsets import Fingerprints, Mask, find, fingerprints
from meter.accounting.reading import Progress, Topics, read_receipts
from meter.pipeline.receipt import ACCEPTED, Owner


@dataclass(frozen=True, slots=True)
class Billed:
    """What was billed, as far as receipts are kept."""

    keys: Fingerprints
    """In order."""
    complete_since: float
    """Unix: whatever was billed from then on stands here. `-inf` where no receipt has left the topic yet."""
    kept_since: float = -math.inf
    """Unix: some partition has lost receipts that were older than this, and has younger ones."""
    receipts: list[tuple[float, int]] = field(default_factory=list)
    """Of each receipt when it was written, and how many events it names."""

    def has(self, keys: list[str]) -> Mask:
        """Which of them were accepted."""
        return find(self.keys, fingerprints(keys))[1]

    def window_since(self, count: int) -> float:
        """When a window of `count` ids begins at the latest that is filled from these receipts now, Unix."""
        left = count
        for at, ids in sorted(self.receipts, reverse=True):
            left -= ids
            if left < 0:
                return max(self.kept_since, math.nextafter(at, math.inf))
        return self.kept_since


async def read_billed(topics: Topics, receipts_topic: str, owner: Owner, progress: Progress) -> Billed:
    """From all receipts that are kept. Raises `CommandFailed` for those of a newer version, `Unavailable`."""
    partitions = await topics.partitions(receipts_topic)
    begun = {number for number, log in (await topics.bounds(receipts_topic, partitions)).items() if log.beginning == 0}
    first = {number: -math.inf if number in begun else math.inf for number in partitions}
    found, receipts = [], []
    async for _, receipt in read_receipts(topics, receipts_topic, progress):
        if receipt.partition in first:
            first[receipt.partition] = min(first[receipt.partition], receipt.at)
        if receipt.owner == owner:
            ends = zip(receipt.keys, receipt.ends, strict=True)
            found.append(fingerprints([key for key, end in ends if end == ACCEPTED]))
            receipts.append((receipt.at, len(receipt.keys)))
    keys = np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)
    cut_off = [at for number, at in first.items() if number not in begun and at < math.inf]
    return Billed(keys, max(first.values(), default=math.inf), max(cut_off, default=-math.inf), receipts)
