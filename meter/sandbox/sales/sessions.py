"""Checkout and customer sessions over REST: links that live for fifteen minutes and are forgotten some time later."""

import secrets
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import Customer, Session
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.sales.customers import shown as shown_customer
from meter.sandbox.sales.purchases import Purchases

LIFE_SECONDS = 15 * 60
REMEMBERED_SECONDS = 60 * 60
"""How long after its end a session is still known, as expired or used."""

MAX_SESSIONS = 100_000
"""Of one environment; beyond it the oldest are forgotten, so that those who ask and ask cannot fill the memory."""

_SWEEP_SECONDS = 60
ACTIVATION = "activation"
"""The purpose of a customer session that `/limits` has opened."""

_PAGES = {"checkout": "customer/checkout", "customer": "customer/manage"}


class Sessions:
    """The session routes, and sessions for the routes that answer with a link."""

    def __init__(self, catalogue: Catalogue, purchases: Purchases, max_sessions: int = MAX_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._catalogue = catalogue
        self._purchases = purchases

    def create_checkout(self, call: Call) -> Answer:
        """`POST /v1/sdk/checkout-sessions`: 201; a product is needed unless it is about credits."""
        body = Reading(call.json())
        customer_ref = body.text("customerRef", required=True, min_length=1) or ""
        purpose = body.choice("purpose", ("credit_topup",))
        product_ref = body.text("productRef", required=purpose is None, min_length=1)
        plan_ref = body.text("planRef")
        return_url = body.text("returnUrl")
        body.done()
        self._check(call, customer_ref, product_ref, plan_ref)
        link = self.checkout(call, customer_ref, product_ref, plan_ref, purpose=purpose, return_url=return_url)
        return Answer.of(201, {"sessionId": link["checkoutSessionId"], "checkoutUrl": link["checkoutUrl"]})

    def create_customer(self, call: Call) -> Answer:
        """`POST /v1/sdk/customers/customer-sessions`: 201."""
        body = Reading(call.json())
        customer_ref = body.text("customerRef", required=True, min_length=1) or ""
        product_ref = body.text("productRef")
        body.done()
        self._check(call, customer_ref, product_ref, None)
        session = self.open(call, "customer", customer_ref, product_ref)
        return Answer.of(201, {"sessionId": session.reference, "customerUrl": url(call, session)})

    def get_customer(self, call: Call) -> Answer:
        """`GET /v1/sdk/customers/customer-sessions/{session}`: an expired one is still shown, as expired."""
        session = self._catalogue[call.environment].sessions.get(call.params["session"])
        if session is None or session.kind != "customer":
            raise ProviderError(404, f"Customer session not found: {call.params['session']}")
        customer = self._catalogue[call.environment].customers.get(session.customer_ref)
        answer = {
            "sessionId": session.reference,
            "status": session.status_at(iso(call.now)),
            "customerUrl": url(call, session),
            "expiresAt": session.expires_at,
            "customer": shown_customer(customer) | {"purchases": self._in_force(call, customer)} if customer else {},
            "createdAt": session.created_at,
            "updatedAt": session.used_at or session.created_at,
        }
        return Answer.of(200, answer)

    def checkout(
        self, call: Call, customer_ref: str, product_ref: str | None, plan_ref: str | None, **more: str | None
    ) -> dict[str, str]:
        """A new checkout session as members of another answer: `checkoutSessionId`, `checkoutUrl`."""
        session = self.open(call, "checkout", customer_ref, product_ref, plan_ref=plan_ref, **more)
        return {"checkoutSessionId": session.reference, "checkoutUrl": url(call, session)}

    def confirmation_url(self, call: Call, customer_ref: str, product_ref: str) -> str:
        """Where a customer can activate the product's default plan; polling gets the same link while it lives."""
        latest = self._catalogue[call.environment].activations.get((customer_ref, product_ref))
        if latest is None or latest.status_at(iso(call.now)) != "active":
            latest = self.open(call, "customer", customer_ref, product_ref, purpose=ACTIVATION)
        return url(call, latest)

    def open(self, call: Call, kind: str, customer_ref: str, product_ref: str | None, **more: str | None) -> Session:
        """A new session of `kind` checkout or customer; those that ended long ago are forgotten meanwhile."""
        self._forget(call)
        session = Session(
            reference=secrets.token_hex(16),
            kind=kind,
            customer_ref=customer_ref,
            product_ref=product_ref,
            created_at=iso(call.now),
            expires_at=iso(call.now + LIFE_SECONDS),
            **more,
        )
        self._catalogue.put(call.environment, [session])
        return session

    def _forget(self, call: Call) -> None:
        """Forget what ended long ago, many at once, and the oldest when there are too many."""
        sessions = self._catalogue[call.environment].sessions
        excess = len(sessions) - self._max_sessions + 1
        oldest = next(iter(sessions.values()), None)
        if oldest is None or (excess <= 0 and oldest.expires_at > iso(call.now - REMEMBERED_SECONDS - _SWEEP_SECONDS)):
            return
        due: list[Session] = []
        moment = iso(call.now - REMEMBERED_SECONDS)
        for session in sessions.values():
            if session.expires_at > moment and len(due) >= excess:
                break
            due.append(session)
        self._catalogue.remove(call.environment, due)

    def _in_force(self, call: Call, customer: Customer) -> list[dict[str, Any]]:
        held = self._catalogue[call.environment].purchases_of(customer.reference)
        return [self._purchases.shown(call, purchase) for purchase in held if purchase.holds_at(iso(call.now))]

    def _check(self, call: Call, customer_ref: str, product_ref: str | None, plan_ref: str | None) -> None:
        shelf: Shelf = self._catalogue[call.environment]
        if customer_ref not in shelf.customers:
            raise ProviderError(404, "Customer not found")
        if product_ref is not None and product_ref not in shelf.products:
            raise ProviderError(404, f"Product with reference {product_ref} not found")
        if plan_ref is None:
            return
        plan = shelf.plans.get(product_ref or "", {}).get(plan_ref)
        if plan is None:
            raise ProviderError(404, f"Plan with reference {plan_ref} not found")
        if plan.status != "active":
            raise ProviderError(400, f"Plan with reference {plan_ref} is not available")


def url(call: Call, session: Session) -> str:
    """Where the session's page is, seen from the caller."""
    host = call.headers.get("host", "127.0.0.1:8484")
    return f"http://{host}/{_PAGES[session.kind]}?id={session.reference}"


def used(session: Session, now: float) -> Session:
    """The session after it has served. Raises ProviderError (410) if it has before, or has expired."""
    status = session.status_at(iso(now))
    if status != "active":
        raise ProviderError(410, f"Session {session.reference} is {status}")
    return msgspec.structs.replace(session, used_at=iso(now))
