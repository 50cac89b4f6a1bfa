"""Renewals: whoever has not cancelled pays for the next period when the one before, or the trial, has ended."""

from collections.abc import Callable
from heapq import heappop

import msgspec

from meter.sandbox.bookkeeping.payments import next_payment, payment
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import LIVE, SANDBOX
from meter.sandbox.rest.errors import iso


class Renewals:
    """Renews what is due. Nothing waits for a time of day: whoever looks finds it done, dated when it was due."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def settle(self, now: float) -> None:
        """Renew every purchase that is due at `now` (Unix seconds), as often as it was since; each a payment."""
        moment = iso(now)
        for environment in (SANDBOX, LIVE):
            renewals = self._catalogue[environment].renewals
            while renewals and renewals[0][0] <= moment:
                self._renew(environment, *renewals[0])
                heappop(renewals)

    def in_time(self, now: Callable[[], float]) -> Callable[[], float]:
        """The clock `now`; whoever looks at it finds everything settled."""

        def settled() -> float:
            moment = now()
            self.settle(moment)
            return moment

        return settled

    def _renew(self, environment: int, due: str, reference: str) -> None:
        purchase = self._catalogue[environment].purchases[reference]
        if next_payment(purchase) != due:
            return  # it was cancelled since, or renewed
        if purchase.status == "trialing":
            paid, kind = msgspec.structs.replace(purchase, status="active", paid_at=due), "purchase"
        else:
            paid, kind = msgspec.structs.replace(purchase, renewed_at=due, paid_at=due), "renewal"
        self._catalogue.put(environment, [paid, payment(paid, kind, due)])
