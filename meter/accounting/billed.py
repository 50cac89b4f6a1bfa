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
    receipts: list[tuple[float, int]] = field(default_factory=list)
    """Of each receipt when it was written, and how many events it names."""

    def has(self, keys: list[str]) -> Mask:
        """Which of them were accepted."""
        return find(self.keys, fingerprints(keys))[1]

    def since_ids(self, count: int) -> float:
        """When the last `count` ids begin, Unix: nothing billed from then on has left a window of that size."""
        left = count
        for at, ids in sorted(self.receipts, reverse=True):
            left -= ids
            if left < 0:
                return math.nextafter(at, math.inf)
        return -math.inf


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
    return Billed(keys, max(first.values(), default=math.inf), receipts)
