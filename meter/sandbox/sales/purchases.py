"""Purchases over REST: who is on which plan, until when; cancelled and taken up again."""

from collections.abc import Iterable
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import BEGUN, HOLDING, Plan, Purchase
from meter.sandbox.bookkeeping.payments import next_payment
from meter.sandbox.bookkeeping.periods import period_end
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.sales.new_purchases import planned_end
from meter.sandbox.store import Store

_SNAPSHOT = ("reference", "name", "price", "currency", "freeUnits", "limit", "creditsPerUnit", "features", "limits")
_SHOWN_CYCLES = ("weekly", "monthly", "quarterly", "yearly")


class Purchases:
    """The purchase routes."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    def page(self, call: Call) -> Answer:
        """`GET /v1/sdk/purchases?status=&productRef=&customerRef=&includeFree=`."""
        return self._listed(call, self._catalogue[call.environment].purchases.values())

    def of_customer(self, call: Call) -> Answer:
        """`GET /v1/sdk/purchases/customer/{customer}`: the oldest first."""
        shelf, reference = self._catalogue[call.environment], call.params["customer"]
        if reference not in shelf.customers:
            raise ProviderError(404, f"Customer with reference {reference} not found")
        return self._listed(call, shelf.purchases_of(reference))

    def of_product(self, call: Call) -> Answer:
        """`GET /v1/sdk/purchases/product/{product}`."""
        shelf, reference = self._catalogue[call.environment], call.params["product"]
        if reference not in shelf.products:
            raise ProviderError(404, f"Product with reference {reference} not found")
        return self._listed(call, [each for each in shelf.purchases.values() if each.product_ref == reference])

    def get(self, call: Call) -> Answer:
        """`GET /v1/sdk/purchases/{purchase}`."""
        return Answer.of(200, self.shown(call, self._purchase(call)))

    def cancel(self, call: Call) -> Answer:
        """`POST /v1/sdk/purchases/{purchase}/cancel`: a recurring one runs on to the end of its period."""
        purchase = self._purchase(call)
        body = Reading(call.json())
        reason = body.text("reason")
        body.done()
        status = purchase.status_at(iso(call.now))
        if purchase.cancelled_at is not None or status not in BEGUN:
            why = "it has ended" if purchase.cancelled_at is None else "it is cancelled already"
            raise ProviderError(400, f"Purchase {purchase.reference} cannot be cancelled: {why}")
        runs_on = status in HOLDING and purchase.plan.is_recurring
        end = _paid_until(purchase, call.now) if runs_on else iso(call.now)
        return self._kept(
            call,
            purchase,
            status=status if runs_on else "cancelled",
            cancelled_at=iso(call.now),
            cancellation_reason=reason,
            auto_renew=False,
            end_date=end,
        )

    def reactivate(self, call: Call) -> Answer:
        """`POST /v1/sdk/purchases/{purchase}/reactivate`: undoes a cancellation before it takes effect."""
        purchase = self._purchase(call)
        if purchase.cancelled_at is None or not purchase.holds_at(iso(call.now)):
            raise ProviderError(400, f"Purchase {purchase.reference} cannot be reactivated")
        fresh = {"cancelled_at": None, "cancellation_reason": None}
        end = planned_end(purchase.plan, purchase.created_at)
        return self._kept(call, purchase, auto_renew=purchase.plan.renews, end_date=end, **fresh)

    def shown(self, call: Call, purchase: Purchase) -> dict[str, Any]:
        """The purchase as the provider answers it at the moment of the call."""
        plan, moment = purchase.plan, iso(call.now)
        customer = self._catalogue[call.environment].customers.get(purchase.customer_ref)
        answer: dict[str, Any] = {
            "reference": purchase.reference,
            "customerRef": purchase.customer_ref,
            "customerEmail": customer.email if customer else "",
            "productRef": purchase.product_ref,
            "productName": purchase.product_name or purchase.product_ref,
            "planRef": plan.reference,
            "planSnapshot": _snapshot(plan),
            "status": purchase.status_at(moment),
            "amount": plan.price,
            "originalAmount": plan.price,
            "currency": plan.currency,
            "exchangeRate": 1,
            "startDate": purchase.created_at,
            "endDate": purchase.end_date,
            "paidAt": purchase.paid_at,
            "isRecurring": plan.is_recurring,
            "autoRenew": purchase.auto_renew,
            "billingCycle": plan.billing_cycle if plan.billing_cycle in _SHOWN_CYCLES else None,
            "nextBillingDate": next_payment(purchase),
            "usage": self._usage(call, purchase),
            "cancelledAt": purchase.cancelled_at,
            "cancellationReason": purchase.cancellation_reason,
            "createdAt": purchase.created_at,
        }
        return {name: value for name, value in answer.items() if value is not None}

    def _usage(self, call: Call, purchase: Purchase) -> dict[str, Any]:
        period = self._store.counts.period(purchase, call.now)
        used = self._store.counts.used(call.environment, purchase, call.now)
        over, cost = purchase.plan.overage(used)
        return {
            "used": used,
            "overageUnits": over,
            "overageCost": cost,
            "periodStart": period.begin,
            "periodEnd": period.end,
        }

    def _listed(self, call: Call, purchases: Iterable[Purchase]) -> Answer:
        query, moment = call.query, iso(call.now)
        found = [
            self.shown(call, purchase)
            for purchase in purchases
            if query.get("status") in (None, "", purchase.status_at(moment))
            and query.get("productRef") in (None, "", purchase.product_ref)
            and query.get("customerRef") in (None, "", purchase.customer_ref)
            and (query.get("includeFree") != "false" or purchase.plan.requires_payment)
        ]
        return Answer.of(200, {"purchases": found})

    def _kept(self, call: Call, purchase: Purchase, **fields: Any) -> Answer:
        changed = msgspec.structs.replace(purchase, **fields)
        self._catalogue.put(call.environment, [changed])
        return Answer.of(200, {"success": True, "purchase": self.shown(call, changed)})

    def _purchase(self, call: Call) -> Purchase:
        reference = call.params["purchase"]
        purchase = self._catalogue[call.environment].purchases.get(reference)
        if purchase is None:
            raise ProviderError(404, f"Purchase with reference {reference} not found")
        return purchase


def _paid_until(purchase: Purchase, now: float) -> str:
    """Where the period of now (Unix seconds) ends; that of a trial with the trial."""
    if purchase.status == "trialing" and purchase.trial_ends_at is not None:
        return purchase.trial_ends_at
    return period_end(purchase.billed_from, purchase.plan.billing_cycle, now)


def _snapshot(plan: Plan) -> dict[str, Any]:
    shown = {**msgspec.to_builtins(plan), "price": plan.price, "currency": plan.currency}
    snapshot = {name: shown[name] for name in _SNAPSHOT if name in shown}
    return {**snapshot, "planType": plan.type, "billingCycle": plan.billing_cycle}
