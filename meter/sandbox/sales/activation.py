"""`/activate`: puts a customer on a plan, or says what it would take."""

from typing import Any

from meter.sandbox.bookkeeping.entries import Plan, Purchase
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.knobs import Knobs
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.sales.new_purchases import NewPurchases
from meter.sandbox.sales.sessions import Sessions
from meter.sandbox.store import Store


class Activation:
    """The activation route."""

    def __init__(
        self, store: Store, catalogue: Catalogue, new_purchases: NewPurchases, sessions: Sessions, knobs: Knobs
    ) -> None:
        self._remembers = knobs.pending_activation
        self._store = store
        self._sessions = sessions
        self._catalogue = catalogue
        self._new_purchases = new_purchases

    def activate(self, call: Call) -> Answer:
        """`POST /v1/sdk/activate`: 200 whatever comes of it; `status` tells."""
        customer_ref, product_ref, plan_ref = _read(call)
        shelf = self._catalogue[call.environment]
        if customer_ref not in shelf.customers:
            raise ProviderError(404, f"Customer with reference {customer_ref} not found")
        if product_ref not in shelf.products:
            raise ProviderError(404, f"Product with reference {product_ref} not found")
        plan = shelf.plans.get(product_ref, {}).get(plan_ref)
        if plan is None or plan.status != "active":
            return _answer("invalid", message=f"Plan with reference {plan_ref} is not available for this product")
        current = shelf.current.get((customer_ref, product_ref))
        if current is not None and current.plan.reference == plan_ref and current.holds_at(iso(call.now)):
            return _answer("already_active", purchaseRef=current.reference)
        if plan.price > 0:
            checkout = self._sessions.checkout(call, customer_ref, product_ref, plan_ref)
            return _answer("payment_required", currency=plan.currency, **checkout)
        if plan.takes_credits:
            return self._with_credits(call, customer_ref, plan, current)
        return self._begun(call, customer_ref, plan)

    def _with_credits(self, call: Call, customer_ref: str, plan: Plan, current: Purchase | None) -> Answer:
        """Active if the credits cover a unit, else pending: blocked until they do.

        A purchase that was paid for is not given up for one that still waits.
        """
        balance = self._store.ledger.balance(call.environment, customer_ref)
        credit = {"creditBalance": balance, "creditsPerUnit": plan.credits_per_unit, "currency": plan.currency}
        if balance >= (plan.credits_per_unit or 0):
            return self._begun(call, customer_ref, plan, **credit)
        paid = current is not None and current.plan.price > 0 and current.holds_at(iso(call.now))
        waits = current is not None and current.status == "pending" and current.plan.reference == plan.reference
        if self._remembers and not paid and not waits:
            self._new_purchases.begin(call.environment, customer_ref, plan, call.now, status="pending")
        checkout = self._sessions.checkout(call, customer_ref, plan.product_ref, plan.reference, purpose="credit_topup")
        return _answer("topup_required", **credit, **checkout)

    def _begun(self, call: Call, customer_ref: str, plan: Plan, **more: Any) -> Answer:
        purchase = self._new_purchases.begin(call.environment, customer_ref, plan, call.now)
        return _answer("activated", purchaseRef=purchase.reference, **more)


def _read(call: Call) -> tuple[str, str, str]:
    body = Reading(call.json())
    refs = [body.text(name, required=True, min_length=1) or "" for name in ("customerRef", "productRef", "planRef")]
    body.done()
    return refs[0], refs[1], refs[2]


def _answer(status: str, **more: Any) -> Answer:
    return Answer.of(200, {"status": status, **more})
