"""The pages behind the links: a checkout that is paid with one click, and a portal that shows and cancels purchases."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from meter.sandbox.calls import LIVE, SANDBOX, Answer, Call, Handler
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.checkout import TOPUP_CREDITS, Checkout
from meter.sandbox.entries import Session
from meter.sandbox.errors import ProviderError, iso, phrase
from meter.sandbox.markup import Html, element, joined, page
from meter.sandbox.purchases import Purchases
from meter.sandbox.store import Store

_CYCLES = {"weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year"}
_NO_MONEY = element("footer", "The provider's sandbox: no money moves.")


class Pages:
    """The pages; who has the link may use it, as long as its session lives."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._checkout = Checkout(store, catalogue)
        self._purchases = Purchases(store, catalogue)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each page."""
        return [
            ("GET", "/customer/checkout", _readable(self.checkout)),
            ("POST", "/customer/checkout", _readable(self.pay)),
            ("GET", "/customer/manage", _readable(self.manage)),
            ("POST", "/customer/manage", _readable(self.cancel)),
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
        """Pays, as a click on the button does."""
        _, session = self._session(call, "checkout")
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
        shown = [self._purchases.shown(seen, purchase) for purchase in held if purchase.holds_at(iso(call.now))]
        cards = [_purchase(each, session) for each in shown]
        return _card("Your purchases", *(cards or [element("section", element("p", "There are none."))]))

    def cancel(self, call: Call) -> Answer:
        """Cancels the purchase that `purchase` names, then shows them all again."""
        environment, session = self._session(call, "customer")
        reference = call.query.get("purchase", "")
        purchase = self._catalogue[environment].purchases.get(reference)
        if purchase is None or purchase.customer_ref != session.customer_ref:
            raise ProviderError(404, f"Purchase with reference {reference} not found")
        self._purchases.cancel(replace(call, environment=environment, params={"purchase": reference}, body=b""))
        return self.manage(call)

    def _session(self, call: Call, kind: str) -> tuple[int, Session]:
        reference = call.query.get("id", "")
        for environment in (SANDBOX, LIVE):
            session = self._catalogue[environment].sessions.get(reference)
            if session is None or session.kind != kind:
                continue
            status = session.status_at(iso(call.now))
            if status != "active":
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


def _purchase(shown: dict[str, Any], session: Session) -> Html:
    plan, used = shown["planSnapshot"], shown["usage"]["used"]
    allowance = plan.get("freeUnits") or plan.get("limit")
    cancelled = "cancelledAt" in shown
    ends = element("p", f"Cancelled, ends {shown['endDate'][:10]}", class_="quiet") if cancelled else ""
    return element(
        "section",
        element("p", shown.get("productName", shown["productRef"]), class_="quiet"),
        element("h2", plan.get("name", plan["reference"])),
        used_up(used, allowance),
        element("p", f"{used:,} of {allowance:,} units used" if allowance else f"{used:,} units used"),
        ends or _button("Cancel", session, shown["reference"]),
    )


def _button(word: str, session: Session, purchase: str = "") -> Html:
    """A form that posts to the page's own path, with what it is about in the query."""
    query = {"id": session.reference, **({"purchase": purchase} if purchase else {})}
    button = element("button", word, class_="plain" if purchase else None)
    return element("form", button, method="post", action=f"?{urlencode(query)}")


def _card(title: str, *content: object) -> Answer:
    return page(title, element("h1", title), joined(content), _NO_MONEY, look="card")
