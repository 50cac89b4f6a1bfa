"""`/user-info`: everything that a product's account page wants to know about a customer."""

from typing import Any

from meter.sandbox.bookkeeping.entries import Customer, Purchase
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.shapes import Reading, whole
from meter.sandbox.sales.sessions import Sessions, url
from meter.sandbox.store import Store
from meter.sandbox.usage.limits import Limits


class UserInfo:
    """The user info route."""

    def __init__(self, store: Store, catalogue: Catalogue, limits: Limits, sessions: Sessions) -> None:
        self._store = store
        self._catalogue = catalogue
        self._limits = limits
        self._sessions = sessions

    def get(self, call: Call) -> Answer:
        """`POST /v1/sdk/user-info`: enrols nobody; `purchase` is there only while one gives access."""
        body = Reading(call.json())
        customer_ref = body.text("customerRef", required=True, min_length=1) or ""
        product_ref = body.text("productRef", required=True, min_length=1) or ""
        body.done()
        shelf = self._catalogue[call.environment]
        if customer_ref not in shelf.customers or product_ref not in shelf.products:
            raise ProviderError(404, "Customer or product not found")
        session = self._sessions.open(call, "customer", customer_ref, product_ref)
        answer = {"user": _user(shelf.customers[customer_ref]), "verifyUrl": url(call, session)}
        purchase = shelf.current.get((customer_ref, product_ref))
        if purchase is None or not purchase.holds_at(iso(call.now)):
            return Answer.of(200, {"status": "No active purchase", **answer})
        status = f"Active purchase of {purchase.plan.name or purchase.plan.reference}"
        return Answer.of(200, {"status": status, **answer, "purchase": self._purchase(call, purchase)})

    def _purchase(self, call: Call, purchase: Purchase) -> dict[str, Any]:
        plan = purchase.plan
        return {
            "reference": purchase.reference,
            "status": purchase.status_at(iso(call.now)),
            "productName": purchase.product_name or purchase.product_ref,
            "planType": plan.type,
            "startDate": purchase.created_at,
            "endDate": purchase.end_date,
            "plan": {
                "reference": plan.reference,
                "type": plan.type,
                "price": plan.price,
                "currency": plan.currency,
                "billingCycle": plan.billing_cycle,
                "limits": plan.limits,
            },
            "usage": self._usage(call, purchase),
        }

    def _usage(self, call: Call, purchase: Purchase) -> dict[str, Any]:
        used = self._limits.used(call, purchase)
        remaining = self._limits.remaining(call, purchase)
        total = used + remaining
        percent = whole(round(100 * used / total, 2)) if total else None
        return {"used": used, "remaining": remaining, "total": total, "percentUsed": percent}


def _user(customer: Customer) -> dict[str, Any]:
    return {
        "reference": customer.reference,
        "email": customer.email,
        "name": customer.name,
        "externalRef": customer.external_ref,
    }
