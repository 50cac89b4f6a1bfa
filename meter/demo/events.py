"""What the demo produces: a seeded stream of usage in every dialect, with copies and broken records in it.

The generator knows what must become of each record, and says so without asking the code under test.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meter.demo.dialects import DIALECTS, REQUEST_ID, WITHOUT_ID
from meter.demo.faults import CONFLICT, FAULTS
from meter.demo.usage import ACTIONS, Usage, Written

BILLED: Final = "billed"
"""The end of a valid record; every other end is the reason of a dead letter."""
COPY: Final = "copy"

COPIES_SHARE: Final = 0.03
INVALID_SHARE: Final = 0.005
LIMITED_SHARE: Final = 0.02
RESTART_SHARE: Final = 0.4
"""Meter is killed when this share of the stream is produced: some copies are laid across it."""

_NEAR_RECORDS = 40
_ORIGINALS_FIRST = 20  # one of each dialect, and something to copy for the first copy
_OUTCOMES = ("success",) * 18 + ("paywall", "fail")
_LONGEST_AGE_SECONDS = 20 * 86400


@dataclass(frozen=True, slots=True)
class Planned:
    """One record to produce, and how it must end."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    event: int
    """The number of the event it tells of; a copy tells of its original's."""
    end: str
    kind: str
    """Its dialect or its fault, or `copy`."""
    customer: str
    units: int


@dataclass(frozen=True, slots=True)
class World:
    """Who uses what: references that the provider knows."""

    customers: Sequence[str]
    products: Sequence[str]
    limited_customer: str
    limited_product: str


def stream(seed: int, records_total: int, world: World, now_seconds: float) -> list[Planned]:
    """`records_total` records in the order to produce; the same arguments make the same records."""
    return _Stream(random.Random(seed), records_total, world, now_seconds).write()  # noqa: S311  # no secret: demo data


def allowance(planned: Sequence[Planned], customer: str) -> int:
    """Free units with which `customer` runs into the limit after a quarter of its usage, before the restart."""
    units = sum(record.units for record in planned if record.customer == customer and record.kind in DIALECTS)
    return max(1, units // 4)


class _Stream:
    """The stream while it is written: what may be copied, and the request that is told of just now."""

    def __init__(self, rng: random.Random, records_total: int, world: World, now_seconds: float) -> None:
        self._rng = rng
        self._total = records_total
        self._world = world
        self._now = now_seconds
        self._written: list[Planned] = []
        self._with_id: list[int] = []  # positions of originals that carry an id of their own
        self._canonical: list[int] = []
        self._request: list[Usage] = []  # what the running request still has to tell

    def write(self) -> list[Planned]:
        for position, role in enumerate(self._roles()):
            if role == COPY:
                self._written.append(replace(self._written[self._original_of(position)], kind=COPY))
            elif role == BILLED:
                self._written.append(self._original(position))
            else:
                self._written.append(self._faulty(position, role))
        return self._written

    def _roles(self) -> list[str]:
        """What each position holds: `billed` for an original, `copy`, or the name of a fault."""
        names = list(FAULTS)
        special = [COPY] * round(self._total * COPIES_SHARE)
        special += [names[i % len(names)] for i in range(round(self._total * INVALID_SHARE))]
        first = [BILLED] * min(_ORIGINALS_FIRST, self._total - len(special))
        rest = special + [BILLED] * (self._total - len(special) - len(first))
        self._rng.shuffle(rest)
        return first + rest

    def _original_of(self, position: int) -> int:
        """Half of the copies follow at once; of the others many lie on the far side of the restart."""
        if self._rng.random() < 0.5:
            return self._rng.choice(self._with_id[-_NEAR_RECORDS:])
        candidates = self._rng.choices(self._with_id, k=8)
        if position > self._total * (RESTART_SHARE + 0.2):
            before = [candidate for candidate in candidates if candidate < self._total * (RESTART_SHARE - 0.05)]
            return (before or candidates)[0]
        return candidates[0]

    def _original(self, position: int) -> Planned:
        names, weights = list(DIALECTS), [weight for weight, _ in DIALECTS.values()]
        dialect = names[position] if position < len(names) else self._rng.choices(names, weights)[0]
        usage = self._usage(position)
        if dialect == REQUEST_ID:
            usage = self._next_of_request(usage)
        if dialect != WITHOUT_ID:
            self._with_id.append(position)
        if dialect == "canonical":
            self._canonical.append(position)
        return _record(usage, DIALECTS[dialect][1](usage), BILLED, dialect)

    def _usage(self, number: int) -> Usage:
        limited = self._rng.random() < LIMITED_SHARE
        ages = (0.0, 0.0, self._rng.uniform(0, 3600), self._rng.uniform(0, _LONGEST_AGE_SECONDS))
        units = (0, 1, 1, 1, 2, 3, 5, 20, self._rng.randint(1, 1000), 100_000)
        return Usage(
            number=number,
            identity=f"evt-{number:06d}",
            customer=self._world.limited_customer if limited else self._rng.choice(self._world.customers),
            product=self._world.limited_product if limited else self._rng.choice(self._world.products),
            units=1 if limited else self._rng.choice(units),
            action=self._rng.choice(ACTIONS),
            outcome="success" if limited else self._rng.choice(_OUTCOMES),
            timestamp_seconds=self._now - (0.0 if limited else self._rng.choice(ages)),
        )

    def _next_of_request(self, usage: Usage) -> Usage:
        """Three events of one request carry one `requestId`, and are three events nevertheless."""
        if not self._request:
            request = replace(usage, identity=f"req-{usage.number:06d}")
            self._request = [replace(request, action=action) for action in self._rng.sample(ACTIONS, 3)]
        return replace(self._request.pop(), number=usage.number)

    def _faulty(self, position: int, fault: str) -> Planned:
        end, write = FAULTS[fault]
        usage = replace(self._usage(position), outcome="success", timestamp_seconds=self._now)
        if fault == CONFLICT:  # the id of an event that was told already, and something else in it
            original = self._written[self._rng.choice(self._canonical)]
            usage = replace(usage, customer=original.customer, identity=f"evt-{original.event:06d}")
        return _record(usage, write(usage), end, fault)


def _record(usage: Usage, written: Written, end: str, kind: str) -> Planned:
    return Planned(
        usage.customer.encode(), written.value, written.headers, usage.number, end, kind, usage.customer, usage.units
    )
