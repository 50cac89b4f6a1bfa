"""May this customer go on? `/limits` counts down the allowance of the plan that the customer is on."""

from typing import Any

from meter.sandbox.bookkeeping.entries import BEGUN, Plan, Purchase
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.sales.new_purchases import NewPurchases
from meter.sandbox.sales.sessions import Sessions
from meter.sandbox.store import Store

UNLIMITED = 999_999
"""What `remaining` says when there is no bound."""


class Limits:
    """The limits route."""

    def __init__(self, store: Store, catalogue: Catalogue, sessions: Sessions, unlimited: int = UNLIMITED) -> None:
        self._unlimited = unlimited
        self._store = store
        self._sessions = sessions
        self._catalogue = catalogue
        self._new_purchases = NewPurchases(catalogue)

    def check(self, call: Call) -> Answer:
        """`POST /v1/sdk/limits`: puts a customer without a purchase on a free default plan, then counts."""
        return Answer.of(200, self._checked(call)[0])

    def check_in_full(self, call: Call) -> Answer:
        """The same, and how much was used of which limit: `limit` 0 is none; without a plan `plan` is null."""
        answer, purchase = self._checked(call)
        full: dict[str, Any] = {"plan": None, **answer, "used": 0, "limit": 0, "freeUnits": 0}
        if purchase is not None:
            full["used"] = self.used(call, purchase)
            full["limit"] = _allowance(purchase.plan) or 0
            full["freeUnits"] = purchase.plan.free_units or 0
        return Answer.of(200, full)

    def _checked(self, call: Call) -> tuple[dict[str, Any], Purchase | None]:
        customer_ref, product_ref, meter_name, with_checkout = _read(call)
        shelf = self._catalogue[call.environment]
        if customer_ref not in shelf.customers or product_ref not in shelf.products:
            raise ProviderError(404, "Customer or product not found")
        purchase = shelf.current.get((customer_ref, product_ref))
        if purchase is None or purchase.status_at(iso(call.now)) not in BEGUN:
            purchase = self._new_purchases.enrol(call.environment, customer_ref, product_ref, call.now)
        default = shelf.default_plan(product_ref)
        answer: dict[str, Any] = {"withinLimits": False, "remaining": 0, "meterName": meter_name}
        plan = purchase.plan if purchase is not None else default
        if purchase is not None:
            remaining = self.remaining(call, purchase) if purchase.holds_at(iso(call.now)) else 0
            answer["remaining"] = remaining
            answer["withinLimits"] = remaining > 0
            answer["plan"] = purchase.plan.reference
        elif default is not None:
            answer["activationRequired"] = True
            answer["confirmationUrl"] = self._sessions.confirmation_url(call, customer_ref, product_ref)
        if plan is not None and plan.takes_credits:
            answer |= self._credit(call.environment, customer_ref, plan)
        if with_checkout and not answer["withinLimits"]:
            plan_ref, purpose = _way_on(shelf, purchase, product_ref)
            answer |= self._sessions.checkout(call, customer_ref, product_ref, plan_ref, purpose=purpose)
        answer["plans"] = [_offer(plan) for plan in shelf.offered(product_ref)]
        answer["product"] = {"reference": product_ref, "name": shelf.products[product_ref].name}
        return answer, purchase

    def remaining(self, call: Call, purchase: Purchase) -> int:
        """Units that the allowance of this period has left, and those that the credits pay for."""
        allowance = _allowance(purchase.plan)
        if allowance is None:
            return self._unlimited
        paid = self._paid_units(call.environment, purchase.customer_ref, purchase.plan)
        return max(allowance - self.used(call, purchase), 0) + paid

    def used(self, call: Call, purchase: Purchase) -> int:
        """Units of this period that count against the allowance."""
        return self._store.counts.used(call.environment, purchase, call.now)

    def _paid_units(self, environment: int, customer_ref: str, plan: Plan) -> int:
        if not plan.takes_credits:
            return 0
        return max(self._store.ledger.balance(environment, customer_ref), 0) // (plan.credits_per_unit or 1)

    def _credit(self, environment: int, customer_ref: str, plan: Plan) -> dict[str, Any]:
        credit = {
            "creditBalance": self._store.ledger.balance(environment, customer_ref),
            "creditsPerUnit": plan.credits_per_unit,
            "currency": plan.currency,
        }
        balance = {**credit, "remainingUnits": self._paid_units(environment, customer_ref, plan)}
        return {**credit, "balance": balance}


def _allowance(plan: Plan) -> int | None:
    """Units of a period that cost nothing more; None when there is no bound."""
    return plan.included_units if plan.takes_credits else plan.allowance_units


def _way_on(shelf: Shelf, purchase: Purchase | None, product_ref: str) -> tuple[str | None, str | None]:
    """What lets a blocked customer go on, as plan and purpose of a checkout: credits, or the next dearer plan.

    A suspended purchase is paid again, and so is the dearest plan; without a purchase it is what all are offered.
    """
    if purchase is None:
        return None, None
    held = purchase.plan
    if purchase.status != "suspended":
        if held.takes_credits:
            return None, "credit_topup"
        dearer = [plan for plan in shelf.offered(product_ref) if plan.price > held.price]
        if dearer:
            return min(dearer, key=lambda plan: plan.price).reference, None
    again = shelf.plans.get(product_ref, {}).get(held.reference)
    return (held.reference if again is not None and again.status == "active" else None), None


def _read(call: Call) -> tuple[str, str, str, bool]:
    body = Reading(call.json())
    customer_ref = body.text("customerRef", required=True, min_length=1)
    product_ref = body.text("productRef", required=True, min_length=1)
    usage_type = body.text("usageType")
    meter_name = body.text("meterName")
    with_checkout = body.flag("includeCheckoutSession") or False
    body.done()
    return customer_ref or "", product_ref or "", meter_name or usage_type or "requests", with_checkout


def _offer(plan: Plan) -> dict[str, Any]:
    offer: dict[str, Any] = {
        "reference": plan.reference,
        "name": plan.name,
        "type": plan.type,
        "price": plan.price,
        "currency": plan.currency,
        "requiresPayment": plan.requires_payment,
        "freeUnits": plan.free_units,
        "creditsPerUnit": plan.credits_per_unit,
        "billingModel": plan.billing_model,
        "billingCycle": plan.billing_cycle,
        "pricingOptions": plan.pricing_options,
    }
    return {name: value for name, value in offer.items() if value is not None}
