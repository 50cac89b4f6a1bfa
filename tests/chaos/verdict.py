"""The verdict over a seed, found outside meter: topics, commits, rows of the provider, and how the processes ended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from meter.demo import topics
from meter.demo.reconciliation import BILLED_TWICE, LOST, NEVER_PRODUCED, WRONGLY_DEAD_LETTERED, Fault
from tests.chaos import forgetting
from tests.chaos.strikes import Strikes
from tests.chaos.variants import Variant
from tests.integration.books import added_up
from tests.integration.daemon import Installation

ENDING_SECONDS = 240.0
LEAVING_SECONDS = 60.0
PAGE_ROWS = 10_000
PROMISES = {
    LOST: "lost",
    BILLED_TWICE: "billed twice",
    NEVER_PRODUCED: "invalid billed",
    WRONGLY_DEAD_LETTERED: "valid dead-lettered",
}


@dataclass(frozen=True)
class Result:
    """What one seed came to; `faults` empty means that every guarantee was kept."""

    seed: int
    variant: str
    events: int
    seconds: float
    struck: dict[str, int]
    promises: dict[str, int]
    """How many events broke each of `PROMISES`."""
    doubles: dict[str, int] = field(default_factory=dict)
    """Where the provider forgets: rows beyond the first of their key, by cause."""
    measured: dict[str, float] = field(default_factory=dict)
    outages: dict[str, float] = field(default_factory=dict)
    """Seconds until everything was committed again, the longest of each kind of fault; where that was waited for."""
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the file that is kept."""
        return asdict(self)


@dataclass
class Verdict:
    """What is found at the end, and said of it."""

    variant: Variant
    faults: list[str]
    promises: dict[str, int] = field(default_factory=dict)
    doubles: dict[str, int] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)

    async def find(self, place: Installation, strikes: Strikes) -> None:
        """Wait until everything has ended, then look at everything."""
        self.faults += await _ends(place, strikes)
        try:
            await place.everything_ended(ENDING_SECONDS)
            await place.nothing_more_is_sent()
        except (AssertionError, pytest.fail.Exception) as stalled:
            self.faults.append(f"not everything has ended: {stalled}")
        statuses = [await meter.status() for meter in place.running_meters()]
        if added_up(statuses)["held"] and not self.faults:
            self.faults.append("events are held although everything is committed")
        self._books(await place.faults_in_the_books())
        self.measured["repeats that the provider recognised"] = (await place.sandbox.totals())["duplicates"]
        if self.variant.key_memory_seconds is not None:
            await self._forgotten(place, strikes.outages, self.variant.key_memory_seconds)

    def _books(self, found: Sequence[Fault]) -> None:
        self.promises |= dict.fromkeys(PROMISES.values(), 0)
        self.promises |= {PROMISES[fault.title]: len(fault.members) for fault in found if fault.title in PROMISES}
        borne = {BILLED_TWICE} if self.variant.may_bill_twice else set()
        self.faults += [str(fault) for fault in found if fault.title not in borne]

    async def _forgotten(
        self, place: Installation, outages: Sequence[tuple[float, float]], memory_seconds: float
    ) -> None:
        """What was doubled and why; without a known cause it is nobody's fault but meter's."""
        rows = forgetting.rows_of(await _usages(place))
        ended = forgetting.ended_in(await topics.read(place.servers, f"{place.topic}-receipts"))
        self.doubles |= forgetting.doubles(rows, ended, place.ledger.keys, outages, memory_seconds)
        self.measured |= forgetting.measured(rows, ended, memory_seconds)
        if not self.measured[forgetting.ONLY_METER]:
            self.faults.append("no copy came after the provider had forgotten its key: the seed shows nothing")
        if unexplained := self.doubles.get(forgetting.UNEXPLAINED, 0):
            self.faults.append(f"{unexplained} billed again, {forgetting.UNEXPLAINED}")


async def _ends(place: Installation, strikes: Strikes) -> list[str]:
    """Who ended otherwise than was asked of it."""
    codes = {meter.program.name: await meter.program.end(LEAVING_SECONDS) for meter in strikes.leaving}
    expected_dead = {*strikes.leaving, *strikes.killed}
    dead = [one for one in place.meters if not one.program.is_running and one not in expected_dead]
    return [
        *(f"{name}, asked to stop, has ended with {code}" for name, code in codes.items() if code != 0),
        *(f"{one.program.name} has ended by itself:\n{one.program.log_tail()}" for one in dead),
    ]


async def _usages(place: Installation) -> list[dict[str, Any]]:
    """Every row as the provider shows it."""
    rows: list[dict[str, Any]] = []
    after = 0
    while (page := await place.sandbox.json("GET", f"/sandbox/usages?after={after}&limit={PAGE_ROWS}"))["usages"]:
        rows += page["usages"]
        after = page["next"]
    return rows


def added(results: Sequence[Result], column: str) -> Counter[str]:
    """A column of all results, summed up."""
    return sum((Counter(getattr(result, column)) for result in results), Counter[str]())
