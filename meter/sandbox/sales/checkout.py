"""What happens when a customer has paid at the checkout: a purchase begins, or credits arrive."""

import msgspec

from meter.sandbox.bookkeeping.entries import Plan, Session
from meter.sandbox.bookkeeping.ledger import Credit
from meter.sandbox.bookkeeping.payments import price, topup
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import LIVE, SANDBOX, Answer, Call
from meter.sandbox.rest.errors import ProviderError
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.sales.credits import MAX_GRANT
from meter.sandbox.sales.new_purchases import NewPurchases, woken
from meter.sandbox.sales.sessions import used
from meter.sandbox.store import Store

TOPUP_CREDITS = 100_000
"""Ten dollars."""


class Checkout:
    """Completes checkout sessions, in whichever environment they were opened."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._ledger = store.ledger
        self._catalogue = catalogue
        self._new_purchases = NewPurchases(catalogue)

    def complete(self, call: Call) -> Answer:
        """`POST /sandbox/checkout-sessions/{session}`: works once, and not after the session has expired (410).

        With `declined` the card is refused (402): a failed transaction, and the session can be paid still.
        """
        environment, session = self._find(call.params["session"])
        body = Reading(call.json())
        credits_bought = body.integer("credits", 1, MAX_GRANT) or TOPUP_CREDITS
        declined = body.flag("declined") or False
        body.done()
        done = used(session, call.now)
        if declined:
            return self._decline(environment, session, credits_bought, call.now)
        if session.purpose == "credit_topup":
            balance = self._ledger.balance(environment, session.customer_ref) + credits_bought
            credit = Credit(environment, session.customer_ref, "TOPUP", credits_bought, balance, call.now)
            active = woken(self._catalogue[environment], session.customer_ref, balance)
            paying = topup(session, credits_bought, call.now)
            self._catalogue.put(environment, [done, *active, paying], [credit])
            return Answer.of(200, {"success": True, "balance": balance})
        plan = self.plan(environment, session)
        purchase = self._new_purchases.begin(
            environment, session.customer_ref, plan, call.now, paid=plan.price > 0, trial=True, also=[done]
        )
        return Answer.of(200, {"success": True, "purchaseRef": purchase.reference})

    def plan(self, environment: int, session: Session) -> Plan:
        """The plan that was asked for; if none was, the default one, else the first that can be had."""
        shelf, product_ref = self._catalogue[environment], session.product_ref or ""
        if session.plan_ref is not None:
            found = [shelf.plans.get(product_ref, {}).get(session.plan_ref)]
        else:
            offered = shelf.offered(product_ref)
            found = [shelf.default_plan(product_ref), *offered]
        plan = next((plan for plan in found if plan is not None and plan.status == "active"), None)
        if plan is None:
            raise ProviderError(400, "There is no active plan to buy")
        return plan

    def _decline(self, environment: int, session: Session, credits_bought: int, now: float) -> Answer:
        row = msgspec.structs.replace(topup(session, credits_bought, now), status="failed")
        if session.purpose != "credit_topup":
            plan = self.plan(environment, session)
            if not plan.price > 0:
                raise ProviderError(400, f"Plan with reference {plan.reference} does not require payment")
            row = msgspec.structs.replace(row, type="purchase", amount=price(plan), plan_ref=plan.reference)
        self._catalogue.put(environment, [row])
        return Answer.of(402, {"success": False, "transactionRef": row.reference})

    def _find(self, reference: str) -> tuple[int, Session]:
        for environment in (SANDBOX, LIVE):
            session = self._catalogue[environment].sessions.get(reference)
            if session is not None and session.kind == "checkout":
                return environment, session
        raise ProviderError(404, f"Checkout session not found: {reference}")
