"""The pages behind the links: a checkout that is paid with one click, and a portal that shows and cancels purchases."""

from dataclasses import replace
from html import escape
from typing import Any
from urllib.parse import urlencode

from meter.sandbox.calls import LIVE, SANDBOX, Answer, Call, Handler
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.checkout import Checkout
from meter.sandbox.entries import Session
from meter.sandbox.errors import ProviderError, iso
from meter.sandbox.purchases import Purchases
from meter.sandbox.store import Store

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>{content}</body></html>
"""


class Pages:
    """The pages; who has the link may use it, as long as its session lives."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._checkout = Checkout(store, catalogue)
        self._purchases = Purchases(store, catalogue)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each page."""
        return [
            ("GET", "/customer/checkout", self.checkout),
            ("POST", "/customer/checkout", self.pay),
            ("GET", "/customer/manage", self.manage),
            ("POST", "/customer/manage", self.cancel),
        ]

    def checkout(self, call: Call) -> Answer:
        """What is to be paid, and a button that pays it."""
        environment, session = self._session(call, "checkout")
        if session.purpose == "credit_topup":
            what = "Credits"
        else:
            plan = self._checkout.plan(environment, session)
            what = f"{plan.name or plan.reference}: {plan.price / 100:,.2f} {plan.currency}"
        return _page("Checkout", f"<p>{escape(what)}</p>{_button('Pay', session)}")

    def pay(self, call: Call) -> Answer:
        """Pays, as a click on the button does."""
        _, session = self._session(call, "checkout")
        self._checkout.complete(replace(call, params={"session": session.reference}, body=b""))
        back = session.return_url or ""
        link = f'<p><a href="{escape(back)}">Back</a></p>' if back.startswith(("http://", "https://")) else ""
        return _page("Paid", f"<p>Thank you.</p>{link}")

    def manage(self, call: Call) -> Answer:
        """The customer's purchases that are in force: plan, usage, and a button that cancels."""
        environment, session = self._session(call, "customer")
        seen = replace(call, environment=environment)
        held = self._catalogue[environment].purchases_of(session.customer_ref)
        shown = [self._purchases.shown(seen, purchase) for purchase in held if purchase.holds_at(iso(call.now))]
        return _page("Your purchases", "".join(_purchase(each, session) for each in shown) or "<p>There are none.</p>")

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


def _purchase(shown: dict[str, Any], session: Session) -> str:
    plan, usage = shown["planSnapshot"], shown["usage"]
    allowance = plan.get("freeUnits") or plan.get("limit")
    used = f"{usage['used']} of {allowance} units used" if allowance else f"{usage['used']} units used"
    until = f", cancelled, ends {shown['endDate']}" if "cancelledAt" in shown else ""
    text = f"{shown.get('productName', shown['productRef'])}, {plan.get('name', plan['reference'])}: {used}{until}"
    button = "" if until else _button("Cancel", session, shown["reference"])
    return f"<section><p>{escape(text)}</p>{button}</section>"


def _button(word: str, session: Session, purchase: str = "") -> str:
    """A form that posts to the page's own path, with what it is about in the query."""
    query = {"id": session.reference, **({"purchase": purchase} if purchase else {})}
    return f'<form method="post" action="?{escape(urlencode(query))}"><button>{word}</button></form>'


def _page(title: str, content: str) -> Answer:
    body = _PAGE.format(title=title, content=content).encode()
    return Answer(200, body, {"content-type": "text/html; charset=utf-8"})
