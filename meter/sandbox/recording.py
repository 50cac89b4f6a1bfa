"""Records usage: `/usages` and `/usages/bulk` keep valid events once per key and say what each cost."""

from collections.abc import Sequence

from meter.sandbox.calls import Answer, Call
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.debits import Bill
from meter.sandbox.ledger import Credit
from meter.sandbox.references import usage_reference
from meter.sandbox.store import Recorded, Store
from meter.sandbox.usages import Usage, read_bulk, read_one


class Recorder:
    """The two usage routes."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    def single(self, call: Call) -> Answer:
        """`POST /v1/sdk/usages`: the new reference, or the one that its key has had before."""
        usages = read_one(call.body, call.now)
        (result,) = self.keep(call, usages)
        return Answer(200, b'{"success":true,' + result.encode() + b"}")

    def bulk(self, call: Call) -> Answer:
        """`POST /v1/sdk/usages/bulk`: one result per event in request order; `inserted` counts repeats as well."""
        results = self.keep(call, read_bulk(call.body, call.now))
        body = f'{{"success":true,"inserted":{len(results)},"results":[{{{"},{".join(results)}}}]}}'
        return Answer(200, body.encode())

    def keep(self, call: Call, usages: Sequence[Usage]) -> list[str]:
        """Keep valid events; returns the members of each one's result, as JSON without braces."""
        bill = Bill(self._store, self._catalogue[call.environment], call.environment, call.now)
        results: list[str] = []

        def charge(recorded: Sequence[Recorded]) -> Sequence[Credit]:
            results.extend(
                f'"reference":"{usage_reference(place.row)}"{bill.member(usage, place)}'
                for usage, place in zip(usages, recorded, strict=True)
            )
            return bill.debits

        self._store.record(call.environment, usages, call.now, charge)
        return results
