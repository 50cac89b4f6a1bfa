"""Payment intents over REST: a payment is announced, the customer confirms it, and what was bought is there."""

from collections.abc import Mapping
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import CREDITS_PER_MINOR_UNIT, Intent, Plan
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.payments import CURRENCY, of_intent
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.paging import page
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.sales.credits import MAX_KEY_LENGTH
from meter.sandbox.sales.merchant import publishable_key
from meter.sandbox.sales.new_purchases import NewPurchases, woken
from meter.sandbox.store import Store

LIFE_SECONDS = 24 * 3600
PURPOSES = ("product", "credit_topup", "usage_billing")
AMOUNTS = (100, 10_000_000)


class IntentNotFoundError(ProviderError):
    """The one 404 of the provider that has a body of its own."""

    def __init__(self) -> None:
        super().__init__(404, "Payment intent not found")

    def body(self, path: str, now: float) -> dict[str, Any]:  # other errors need them
        """The JSON body."""
        return {"success": False, "error": self.message, "code": "PAYMENT_INTENT_NOT_FOUND"}


class Intents:
    """The payment intent routes."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._ledger = store.ledger
        self._catalogue = catalogue
        self._new_purchases = NewPurchases(catalogue)

    def create(self, call: Call) -> Answer:
        """`POST /v1/sdk/payment-intents`: 201; a repeated `Idempotency-Key` gets the first one again."""
        key = _key(call.headers)
        shelf = self._catalogue[call.environment]
        asked = _read(call)
        intent = shelf.intents_by_key.get(key)
        if intent is None:
            intent = _made(shelf, asked, key, call.now)
            self._catalogue.put(call.environment, [intent])
        more = {"publishableKey": publishable_key(call.environment), "originalAmount": intent.amount, "exchangeRate": 1}
        return Answer.of(201, {**_shown(intent, call.now), **more})

    def page(self, call: Call) -> Answer:
        """`GET /v1/sdk/payment-intents?limit=&offset=`: the latest first."""
        intents = reversed(self._catalogue[call.environment].intents.values())
        return page("paymentIntents", [_shown(intent, call.now) for intent in intents], call.query)

    def get(self, call: Call) -> Answer:
        """`GET /v1/sdk/payment-intents/{reference}`."""
        return Answer.of(200, _shown(self._intent(call), call.now))

    def process(self, call: Call) -> Answer:
        """`POST /v1/sdk/payment-intents/{reference}/process`: what was paid for begins, once.

        There is no payment form here, so processing stands for the customer's confirmation as well.
        """
        intent = self._intent(call)
        _check_parties(self._catalogue[call.environment], call, intent)
        status = intent.status_at(iso(call.now))
        if status == "requires_payment_method":
            status = "succeeded"
            self._paid(call, msgspec.structs.replace(intent, status=status))
        return Answer.of(200, {"status": status})

    def _paid(self, call: Call, intent: Intent) -> None:
        """Keep the paid intent with what it has paid for, all or none."""
        shelf = self._catalogue[call.environment]
        match intent.purpose:
            case "product":
                plan = _plan(shelf, intent.product_ref, intent.plan_ref)
                self._new_purchases.begin(
                    call.environment, intent.customer_ref, plan, call.now, paid=True, also=[intent]
                )
            case "credit_topup":
                amount = intent.amount * CREDITS_PER_MINOR_UNIT
                balance = self._ledger.balance(call.environment, intent.customer_ref) + amount
                credit = Credit(call.environment, intent.customer_ref, "TOPUP", amount, balance, call.now)
                active = woken(shelf, intent.customer_ref, balance)
                paying = of_intent(intent, "topup", call.now)
                self._catalogue.put(call.environment, [intent, *active, paying], [credit])
            case _:
                self._catalogue.put(call.environment, [intent, of_intent(intent, "usage", call.now)])

    def _intent(self, call: Call) -> Intent:
        intent = self._catalogue[call.environment].intents.get(call.params["reference"])
        if intent is None:
            raise IntentNotFoundError
        return intent


def _key(headers: Mapping[str, str]) -> str:
    key = headers.get("idempotency-key", "")
    if not key:
        raise ProviderError(400, "idempotency-key header is required")
    if len(key) > MAX_KEY_LENGTH:
        raise ProviderError(400, f"idempotency-key header must be at most {MAX_KEY_LENGTH} characters")
    return key


def _read(call: Call) -> dict[str, Any]:
    """The checked body. A plan has its price, so an amount is needed for everything else only."""
    body = Reading(call.json())
    purpose = body.choice("purpose", PURPOSES) or "product"
    buys = purpose == "product"
    fields = {
        "purpose": purpose,
        "customer_ref": body.text("customerRef", required=True, min_length=1),
        "product_ref": body.text("productRef", required=buys, min_length=1),
        "plan_ref": body.text("planRef", required=buys, min_length=1),
        "amount": body.integer("amount", *AMOUNTS, required=not buys),
        "currency": body.text("currency") or CURRENCY,
        "pricing_tier": body.text("pricingTier"),
        "description": body.text("description", max_length=500),
    }
    body.done()
    return fields


def _made(shelf: Shelf, asked: dict[str, Any], key: str, now: float) -> Intent:
    """A new intent. Raises ProviderError for what does not exist or cannot be paid."""
    if asked["customer_ref"] not in shelf.customers:
        raise ProviderError(404, "Customer not found")
    if asked["currency"].upper() != CURRENCY:
        raise ProviderError(400, f"Currency must match the provider's default currency ({CURRENCY})")
    if asked["product_ref"] is not None and asked["product_ref"] not in shelf.products:
        raise ProviderError(404, f"Product with reference {asked['product_ref']} not found")
    if asked["purpose"] == "product":
        plan = _plan(shelf, asked["product_ref"], asked["plan_ref"])
        if plan.status != "active":
            raise ProviderError(400, f"Plan with reference {plan.reference} is not available")
        if plan.price <= 0:
            raise ProviderError(400, f"Plan with reference {plan.reference} does not require payment")
        asked = {**asked, "amount": round(plan.price)}
    made = {**asked, "currency": CURRENCY.lower(), "created_at": iso(now), "expires_at": iso(now + LIFE_SECONDS)}
    return Intent(reference=new_reference("pi"), idempotency_key=key, **made)


def _plan(shelf: Shelf, product_ref: str | None, plan_ref: str | None) -> Plan:
    plan = shelf.plans.get(product_ref or "", {}).get(plan_ref or "")
    if plan is None:
        raise ProviderError(404, f"Plan with reference {plan_ref} not found")
    return plan


def _check_parties(shelf: Shelf, call: Call, intent: Intent) -> None:
    """Whoever processes an intent must know whose it is and for what. Raises ProviderError (400, 404)."""
    body = Reading(call.json())
    customer_ref = body.text("customerRef", required=True, min_length=1)
    product_ref = body.text("productRef", required=True, min_length=1)
    plan_ref = body.text("planRef")
    body.done()
    if customer_ref not in shelf.customers:
        raise ProviderError(404, "Customer not found")
    named = (("customer", customer_ref, intent.customer_ref), ("product", product_ref, intent.product_ref))
    for word, given, own in (*named, ("plan", plan_ref or intent.plan_ref, intent.plan_ref)):
        if own is not None and given != own:
            raise ProviderError(400, f"Payment intent {intent.reference} is for another {word}")


def _shown(intent: Intent, now: float) -> dict[str, Any]:
    shown = {
        "processorPaymentId": intent.reference,
        "clientSecret": f"{intent.reference}_secret_none",
        "status": intent.status_at(iso(now)),
        "amount": intent.amount,
        "currency": intent.currency,
        "purpose": intent.purpose,
        "customerRef": intent.customer_ref,
        "productRef": intent.product_ref,
        "planRef": intent.plan_ref,
        "pricingTier": intent.pricing_tier,
        "description": intent.description,
        "createdAt": intent.created_at,
        "expiresAt": intent.expires_at,
    }
    return {name: value for name, value in shown.items() if value is not None}
