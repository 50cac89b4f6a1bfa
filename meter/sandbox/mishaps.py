"""What a card, a bank or an operator does to payments and purchases: orders for the controls."""

from collections.abc import Callable
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import BEGUN, AnyEntry
from meter.sandbox.bookkeeping.payments import of_intent
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import LIVE, SANDBOX, Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.shapes import Reading


class Mishaps:
    """The control routes that turn payments and purchases to the worse, and back."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def purchase(self, call: Call) -> Answer:
        """`PUT /sandbox/purchases/{purchase}`: overdue (access goes on), suspended (it does not), or active again."""
        status = _status(call, ("active", "past_due", "suspended"))
        environment, purchase = self._find(lambda shelf: shelf.purchases, call.params["purchase"], "Purchase")
        now_is = purchase.status_at(iso(call.now))
        if now_is not in BEGUN or now_is in ("pending", "trialing"):
            raise ProviderError(409, f"Purchase {purchase.reference} is {now_is}")
        self._catalogue.put(environment, [msgspec.structs.replace(purchase, status=status)])
        return Answer.of(200, {"reference": purchase.reference, "status": status})

    def intent(self, call: Call) -> Answer:
        """`PUT /sandbox/payment-intents/{intent}`: the card was refused (a failed transaction), or nobody paid."""
        status = _status(call, ("failed", "cancelled"))
        environment, intent = self._find(lambda shelf: shelf.intents, call.params["intent"], "Payment intent")
        now_is = intent.status_at(iso(call.now))
        if now_is != "requires_payment_method":
            raise ProviderError(409, f"Payment intent {intent.reference} is {now_is}")
        entries: list[AnyEntry] = [msgspec.structs.replace(intent, status=status)]
        if status == "failed":
            kind = {"product": "purchase", "credit_topup": "topup"}.get(intent.purpose, "usage")
            entries.append(msgspec.structs.replace(of_intent(intent, kind, call.now), status="failed"))
        self._catalogue.put(environment, entries)
        return Answer.of(200, {"reference": intent.reference, "status": status})

    def _find(self, shelved: Callable[[Shelf], dict[str, Any]], reference: str, word: str) -> tuple[int, Any]:
        for environment in (SANDBOX, LIVE):
            entry = shelved(self._catalogue[environment]).get(reference)
            if entry is not None:
                return environment, entry
        raise ProviderError(404, f"{word} with reference {reference} not found")


def _status(call: Call, options: tuple[str, ...]) -> str:
    body = Reading(call.json())
    body.text("status", required=True)
    status = body.choice("status", options) if not body.issues else None
    body.done()
    return status or ""
