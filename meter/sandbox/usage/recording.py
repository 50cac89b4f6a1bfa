"""Records usage: `/usages` and `/usages/bulk` keep valid events once per key and say what each cost."""

from collections.abc import Sequence

from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.usages import Rules, Usage, read_bulk, read_one
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.knobs import Knobs
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError
from meter.sandbox.rest.references import usage_reference
from meter.sandbox.store import Recorded, Store
from meter.sandbox.usage.debits import REPEATED, Bill


class Recorder:
    """The two usage routes."""

    def __init__(self, store: Store, catalogue: Catalogue, knobs: Knobs = Knobs()) -> None:  # noqa: B008  # frozen
        self._knobs = knobs
        self._rules = Rules(knobs.strict_names, knobs.accept_offsets)
        self._store = store
        self._catalogue = catalogue

    def single(self, call: Call) -> Answer:
        """`POST /v1/sdk/usages`: the new reference, or the one that its key has had before."""
        (result,) = self.keep(call, self.read_one(call.body, call.now))
        return Answer(200, b'{"success":true,' + result.encode() + b"}")

    def bulk(self, call: Call) -> Answer:
        """`POST /v1/sdk/usages/bulk`: one result per event in request order."""
        results = self.keep(call, self.read_bulk(call.body, call.now))
        inserted = len(results)
        if self._knobs.inserted_counts == "new":
            inserted -= sum(result.endswith(REPEATED) for result in results)
        body = f'{{"success":true,"inserted":{inserted},"results":[{{{"},{".join(results)}}}]}}'
        return Answer(200, body.encode())

    def read_one(self, body: bytes, now: float) -> list[Usage]:
        """The event of a single call. Raises ProviderError (400)."""
        return read_one(body, now, self._rules)

    def read_bulk(self, body: bytes, now: float) -> list[Usage]:
        """The events of a bulk call. Raises ProviderError (400)."""
        return read_bulk(body, now, self._rules)

    def keep(self, call: Call, usages: Sequence[Usage]) -> list[str]:
        """Keep valid events; returns the members of each one's result, as JSON without braces."""
        shelf = self._catalogue[call.environment]
        if self._knobs.strict_customer and any(usage.customer_ref not in shelf.customers for usage in usages):
            raise ProviderError(404, "Customer not found")
        bill = Bill(self._store, shelf, call, allow_negative=self._knobs.allow_negative_credits)
        results: list[str] = []

        def charge(recorded: Sequence[Recorded]) -> Sequence[Credit]:
            results.extend(
                f'"reference":"{usage_reference(place.row)}"{bill.member(usage, place)}'
                for usage, place in zip(usages, recorded, strict=True)
            )
            return bill.debits

        self._store.record(call.environment, usages, call.now, charge)
        return results
