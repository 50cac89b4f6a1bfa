"""What time alone does to purchases: they come to their end, and their allowances begin again."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from meter.sandbox.bookkeeping.counting import Counts
from meter.sandbox.bookkeeping.entries import HOLDING, Purchase
from meter.sandbox.bookkeeping.periods import moment_of
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import LIVE, SANDBOX
from meter.sandbox.rest.errors import iso
from meter.sandbox.store import Store

INTERVAL_SECONDS = 30.0
_AT_A_TIME = 500
"""After so many purchases, requests have their turn."""


class Jobs:
    """Does what is due, again and again; what was missed while the sandbox was off is made up for once."""

    def __init__(self, store: Store, catalogue: Catalogue, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._catalogue = catalogue
        self._now = now

    async def run(self) -> None:
        """Look twice a minute, until cancelled; a store that fails is told to the operator and tried again."""
        while True:
            try:
                await self.do_due()
            except sqlite3.Error as error:
                print(f"meter sandbox: jobs: {error}", file=sys.stderr)  # noqa: T201  # the operator must see it
            await asyncio.sleep(INTERVAL_SECONDS)

    async def do_due(self) -> None:
        """Change every purchase whose time has come."""
        now = self._now()
        async for environment, purchase in self._all():
            changed = due(purchase, self._store.counts, now)
            if changed is not None:
                self._catalogue.put(environment, [changed])

    async def _all(self) -> AsyncIterator[tuple[int, Purchase]]:
        for environment in (SANDBOX, LIVE):
            for number, reference in enumerate(list(self._catalogue[environment].purchases)):
                if number % _AT_A_TIME == _AT_A_TIME - 1:
                    await asyncio.sleep(0)
                purchase = self._catalogue[environment].purchases.get(reference)
                if purchase is not None:  # else everything was reset meanwhile
                    yield environment, purchase


def due(purchase: Purchase, counts: Counts, now: float) -> Purchase | None:
    """The purchase after what time does to it; None when nothing is due at `now` (Unix seconds)."""
    moment = iso(now)
    if purchase.status not in HOLDING:
        return None
    if not purchase.holds_at(moment):
        return msgspec.structs.replace(purchase, status="expired")
    counted_from = _counted_from(purchase, counts, now)
    return (
        None if counted_from == purchase.counted_from else msgspec.structs.replace(purchase, counted_from=counted_from)
    )


def _counted_from(purchase: Purchase, counts: Counts, now: float) -> str | None:
    """Where the allowance has begun again since the purchase began, if it has one."""
    if purchase.plan.allowance_units is None and not purchase.plan.included_units:
        return None
    begin = counts.period(purchase, now).begin
    first = counts.period(purchase, moment_of(purchase.created_at).timestamp()).begin
    return begin if begin > (purchase.counted_from or first) else purchase.counted_from
