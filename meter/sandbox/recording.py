"""Records usage: `/usages` and `/usages/bulk` keep valid events once per key and say what each cost."""

from collections.abc import Sequence

from meter.sandbox.calls import Answer, Call
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.errors import iso
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
        shelf = self._catalogue[call.environment]
        moment = iso(call.now)
        recorded = self._store.record(call.environment, usages, call.now)
        return [
            f'"reference":"{usage_reference(place.row)}"{_debit(shelf, usage, place, moment)}'
            for usage, place in zip(usages, recorded, strict=True)
        ]


def _debit(shelf: Shelf, usage: Usage, place: Recorded, moment: str) -> str:
    if place.duplicate:
        return _SKIPPED["duplicate"]
    reason = skip_reason(shelf, usage, moment)
    return _SKIPPED[reason] if reason else ""


def skip_reason(shelf: Shelf, usage: Usage, moment: str) -> str | None:
    """Why no credits are debited for a new usage; None where the question does not arise (it was no success)."""
    if usage.outcome != "success":
        return None
    if usage.product_ref is None:
        return "no_product_ref"
    if usage.customer_ref not in shelf.customers:
        return "customer_not_found"
    purchase = shelf.current.get((usage.customer_ref, usage.product_ref))
    if purchase is None or not purchase.holds_at(moment):
        return "no_active_purchase"
    return "plan_not_credit_based"


_REASONS = ("duplicate", "no_product_ref", "customer_not_found", "no_active_purchase", "plan_not_credit_based")
_SKIPPED = {reason: f',"creditDebit":{{"debited":false,"reason":"{reason}"}}' for reason in _REASONS}
