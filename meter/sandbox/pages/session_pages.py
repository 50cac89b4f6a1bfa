"""The pages behind the links: a checkout that is paid with one click, and a portal that shows and cancels purchases."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import msgspec

from meter.sandbox.bookkeeping.entries import Plan, Session
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.knobs import Knobs
from meter.sandbox.pages.markup import Html, element, joined, page
from meter.sandbox.rest.calls import LIVE, SANDBOX, Answer, Call, Handler
from meter.sandbox.rest.errors import ProviderError, iso, phrase
from meter.sandbox.sales.activation import Activation
from meter.sandbox.sales.checkout import TOPUP_CREDITS, Checkout
from meter.sandbox.sales.new_purchases import NewPurchases
from meter.sandbox.sales.purchases import Purchases
from meter.sandbox.sales.sessions import ACTIVATION, Sessions
from meter.sandbox.store import Store

_CYCLES = {"weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year"}
_NO_MONEY = element("footer", "The provider's sandbox: no money moves.")


class Pages:
    """The pages; who has the link may use it, as long as its session lives."""

    def __init__(self, store: Store, catalogue: Catalogue, knobs: Knobs) -> None:
        self._catalogue = catalogue
        self._checkout = Checkout(store, catalogue)
        self._purchases = Purchases(store, catalogue)
        sessions = Sessions(catalogue, self._purchases)
        self._activation = Activation(store, catalogue, NewPurchases(catalogue), sessions, knobs)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each page."""
        return [
            ("GET", "/customer/checkout", _readable(self.checkout)),
            ("POST", "/customer/checkout", _readable(self.pay)),
            ("GET", "/customer/manage", _readable(self.manage)),
            ("POST", "/customer/manage", _readable(self.change)),
        ]

    def checkout(self, call: Call) -> Answer:
        """What is to be paid, and a button that pays it."""
        environment, session = self._session(call, "checkout")
        if session.purpose == "credit_topup":
            name, price, cycle = "Credits", f"{TOPUP_CREDITS:,} credits", None
        else:
            plan = self._checkout.plan(environment, session)
            name, price = plan.name or plan.reference, money(plan.price, plan.currency)
            cycle = _CYCLES.get(plan.billing_cycle or "") if plan.is_recurring else None
        product = self._catalogue[environment].products.get(session.product_ref or "")
        card = element(
            "section",
            element("p", product.name, class_="quiet") if product else "",
            element("h2", name),
            element("p", price, element("small", f" a {cycle}") if cycle else "", class_="price"),
            element("p", f"for {session.customer_ref}", class_="quiet"),
            _button("Pay", session),
        )
        return _card("Checkout", card)

    def pay(self, call: Call) -> Answer:
        """Pays, as a click on the button does; a second click finds it done."""
        _, session = self._session(call, "checkout", used_too=True)
        if session.used_at is None:
            self._checkout.complete(replace(call, params={"session": session.reference}, body=b""))
        back = session.return_url or ""
        safe = back.startswith(("http://", "https://"))
        link = element("p", element("a", "Back", href=back)) if safe else ""
        return _card("Paid", element("section", element("p", "Thank you. The purchase is complete."), link))

    def manage(self, call: Call) -> Answer:
        """The customer's purchases that are in force: plan, usage, and a button that cancels."""
        environment, session = self._session(call, "customer")
        seen = replace(call, environment=environment)
        held = self._catalogue[environment].purchases_of(session.customer_ref)
        cards = [
            _purchase(self._purchases.shown(seen, purchase), purchase.plan, session)
            for purchase in held
            if purchase.holds_at(iso(call.now))
        ]
        plan = self._to_activate(environment, session, call.now)
        if plan is not None:
            cards.append(_offer(plan, session))
        return _card("Your purchases", *(cards or [element("section", element("p", "There are none."))]))

    def cancel(self, call: Call) -> Answer:
        """Cancels the purchase that `purchase` names, unless it is already, then shows them all again."""
        environment, session = self._session(call, "customer")
        reference = call.query.get("purchase", "")
        purchase = self._catalogue[environment].purchases.get(reference)
        if purchase is None or purchase.customer_ref != session.customer_ref:
            raise ProviderError(404, f"Purchase with reference {reference} not found")
        if purchase.cancelled_at is None:
            self._purchases.cancel(replace(call, environment=environment, params={"purchase": reference}, body=b""))
        return self.manage(call)

    def change(self, call: Call) -> Answer:
        """Does what a button of the page says: activates the plan that waits for it, or cancels a purchase."""
        return self.activate(call) if "activate" in call.query else self.cancel(call)

    def activate(self, call: Call) -> Answer:
        """Puts the customer on the plan, or leads to where it is paid."""
        environment, session = self._session(call, "customer")
        plan = self._to_activate(environment, session, call.now)
        if plan is None:
            return self.manage(call)
        wish = {"customerRef": session.customer_ref, "productRef": plan.product_ref, "planRef": plan.reference}
        done = self._activation.activate(replace(call, environment=environment, body=msgspec.json.encode(wish)))
        checkout = msgspec.json.decode(done.body).get("checkoutSessionId")
        if checkout is None:
            return self.manage(call)
        link = element("a", "Continue to the checkout", href=f"/customer/checkout?id={checkout}")
        return _card(
            "One more step", element("section", element("h2", plan.name or plan.reference), element("p", link))
        )

    def _to_activate(self, environment: int, session: Session, now: float) -> Plan | None:
        """The default plan of the product that the session was opened for, unless the customer holds something."""
        if session.purpose != ACTIVATION or session.product_ref is None:
            return None
        shelf = self._catalogue[environment]
        current = shelf.current.get((session.customer_ref, session.product_ref))
        held = current is not None and current.holds_at(iso(now))
        return None if held else shelf.default_plan(session.product_ref)

    def _session(self, call: Call, kind: str, *, used_too: bool = False) -> tuple[int, Session]:
        reference = call.query.get("id", "")
        for environment in (SANDBOX, LIVE):
            session = self._catalogue[environment].sessions.get(reference)
            if session is None or session.kind != kind:
                continue
            status = session.status_at(iso(call.now))
            if status != "active" and not (used_too and status == "used"):
                raise ProviderError(410, f"Session {reference} is {status}")
            return environment, session
        raise ProviderError(404, f"There is no {kind} session {reference}")


def money(minor_units: float, currency: str) -> str:
    """An amount as people write it."""
    return f"{minor_units / 100:,.2f} {currency}"


def used_up(used: int, allowance: int | None) -> Html:
    """A bar that shows how much of an allowance is used; nothing without an allowance."""
    if not allowance:
        return Html()
    return element("progress", value=str(min(used, allowance)), max=str(allowance))


def _readable(handler: Handler) -> Callable[[Call], Answer]:
    """The handler, with its refusals as pages: whoever follows a link is a person."""

    def answer(call: Call) -> Answer:
        try:
            return handler(call)
        except ProviderError as error:
            text = element("section", element("p", error.message))
            return page(
                phrase(error.status), element("h1", phrase(error.status)), text, look="card", status=error.status
            )

    return answer


def _purchase(shown: dict[str, Any], plan: Plan, session: Session) -> Html:
    used, allowance = shown["usage"]["used"], plan.allowance_units
    cancelled = "cancelledAt" in shown
    ends = element("p", f"Cancelled, ends {shown['endDate'][:10]}", class_="quiet") if cancelled else ""
    return element(
        "section",
        element("p", shown.get("productName", shown["productRef"]), class_="quiet"),
        element("h2", plan.name or plan.reference),
        used_up(used, allowance),
        element("p", f"{used:,} of {allowance:,} units used" if allowance else f"{used:,} units used"),
        ends or _button("Cancel", session, purchase=shown["reference"]),
    )


def _offer(plan: Plan, session: Session) -> Html:
    price = f"{plan.credits_per_unit:,} credits a unit" if plan.takes_credits else money(plan.price, plan.currency)
    return element(
        "section",
        element("h2", plan.name or plan.reference),
        element("p", price, class_="price"),
        _button("Activate", session, activate=plan.reference),
    )


def _button(word: str, session: Session, **about: str) -> Html:
    """A form that posts to the page's own path, with what it is about in the query."""
    query = {"id": session.reference, **about}
    button = element("button", word, class_="plain" if "purchase" in about else None)
    return element("form", button, method="post", action=f"?{urlencode(query)}")


def _card(title: str, *content: object) -> Answer:
    return page(title, element("h1", title), joined(content), _NO_MONEY, look="card")
