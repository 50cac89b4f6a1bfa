"""Credits over REST: what a customer has, and giving more."""

from typing import Any

from meter.sandbox.bookkeeping.entries import CREDITS_PER_MINOR_UNIT
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.payments import CURRENCY
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError
from meter.sandbox.rest.shapes import Reading, whole
from meter.sandbox.sales.customers import find_customer
from meter.sandbox.sales.new_purchases import woken
from meter.sandbox.store import Store

MAX_GRANT = 10**12
MAX_KEY_LENGTH = 256


class Credits:
    """The credit routes."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._ledger = store.ledger
        self._catalogue = catalogue

    def balance(self, call: Call) -> Answer:
        """`GET /v1/sdk/customers/{reference}/balance`."""
        reference = find_customer(self._catalogue[call.environment], call).reference
        credits_left = self._ledger.balance(call.environment, reference)
        major = credits_left / CREDITS_PER_MINOR_UNIT / 100
        display = {
            "amountMajor": whole(major),
            "currency": CURRENCY,
            "formatted": f"${major:,.2f}",
            "exchangeRate": 1,
            "rateSource": "identity",
        }
        answer = {
            "customerRef": reference,
            "credits": credits_left,
            "displayCurrency": CURRENCY,
            "creditsPerMinorUnit": CREDITS_PER_MINOR_UNIT,
            "displayExchangeRate": 1,
            "display": display,
        }
        return Answer.of(200, answer)

    def grant(self, call: Call) -> Answer:
        """`POST /v1/sdk/customers/{reference}/credits`: a repeated `Idempotency-Key` gets the first answer again.

        A pending purchase of the customer becomes active in the same step if the credits now cover a unit.
        """
        reference = find_customer(self._catalogue[call.environment], call).reference
        body = Reading(call.json())
        amount = body.integer("credits", 1, MAX_GRANT, required=True)
        reason = body.text("reason")
        body.done()
        key = call.headers.get("idempotency-key") or None
        if key is not None and len(key) > MAX_KEY_LENGTH:
            raise ProviderError(400, f"idempotency-key header must be at most {MAX_KEY_LENGTH} characters")
        credit = self._ledger.find(call.environment, key) if key else None
        if credit is None:
            before = self._ledger.balance(call.environment, reference)
            balance = before + (amount or 0)
            credit = Credit(
                call.environment, reference, "GRANT", amount or 0, balance, call.now, reason=reason, idempotency_key=key
            )
            active = woken(self._catalogue[call.environment], reference, balance)
            self._catalogue.put(call.environment, active, [credit])
        return Answer.of(200, _granted(credit))


def _granted(credit: Credit) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "success": True,
        "customerRef": credit.customer_ref,
        "credits": credit.amount,
        "balance": credit.balance,
    }
    return answer if credit.reason is None else {**answer, "reason": credit.reason}
