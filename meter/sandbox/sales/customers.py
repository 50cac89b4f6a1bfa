"""Customers over REST: created once per email, found by any of their names."""

import re
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import Customer
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.sales.purchases import Purchases

EMAIL = r"^{0}+@{0}+\.{1}+$".format(r"[^@\s\x00-\x20\x7f-\xa0\ufeff]", r"[^.@\s\x00-\x20\x7f-\xa0\ufeff]")
"""What an email must look like; means the same in Python and in JavaScript, which differ in what is white space."""


class Customers:
    """The customer routes."""

    def __init__(self, catalogue: Catalogue, purchases: Purchases) -> None:
        self._catalogue = catalogue
        self._purchases = purchases

    def create(self, call: Call) -> Answer:
        """`POST /v1/sdk/customers`: 201; an email that is taken is linked (with `externalRef`) or refused (409)."""
        customer = read_customer(Reading(call.json()), call.now)
        shelf = self._catalogue[call.environment]
        earlier = shelf.customers_by_email.get(customer.email.lower())
        reserved = shelf.reserved("customer", customer.email.lower(), iso(call.now))
        if reserved is not None:
            customer = msgspec.structs.replace(customer, reference=reserved.gives)
        elif earlier is not None:
            customer = _link(earlier, customer.external_ref)
        check_unique(shelf, customer)
        self._catalogue.put(call.environment, [customer, *([reserved] if reserved else [])])
        return Answer.of(201, self._shown(call, customer))

    def ensure(self, call: Call) -> Answer:
        """The customer with the email, `created` if there was none; one who is there already keeps the name.

        An `externalRef` is given to whom has none, and never replaced.
        """
        customer = read_customer(Reading(call.json()), call.now)
        shelf = self._catalogue[call.environment]
        earlier = shelf.customers_by_email.get(customer.email.lower())
        if earlier is not None:
            linked = earlier.external_ref or customer.external_ref
            customer = msgspec.structs.replace(earlier, external_ref=linked)
        if customer != earlier:
            check_unique(shelf, customer)
            self._catalogue.put(call.environment, [customer])
        return Answer.of(200, {**self._shown(call, customer), "created": earlier is None})

    def find(self, call: Call) -> Answer:
        """`GET /v1/sdk/customers?reference|externalRef|email=`: exactly one of the three."""
        given = [(name, call.query[name]) for name in ("reference", "externalRef", "email") if call.query.get(name)]
        if len(given) != 1:
            raise ProviderError(400, "Must provide exactly one of reference, externalRef, or email")
        ((name, value),) = given
        customer = _look_up(self._catalogue[call.environment], name, value)
        if customer is None:
            raise ProviderError(404, "Customer not found")
        return Answer.of(200, self._shown(call, customer))

    def get(self, call: Call) -> Answer:
        """`GET /v1/sdk/customers/{reference}`."""
        return Answer.of(200, self._shown(call, find_customer(self._catalogue[call.environment], call)))

    def change(self, call: Call) -> Answer:
        """`PATCH /v1/sdk/customers/{reference}`: only given fields change; an externalRef, once set, stays (409)."""
        shelf = self._catalogue[call.environment]
        customer = find_customer(shelf, call)
        body = Reading(call.json())
        fields = _fields(body, with_email=False)
        body.done()
        if (
            customer.external_ref is not None
            and fields.get("external_ref", customer.external_ref) != customer.external_ref
        ):
            raise ProviderError(409, f"Customer with reference {customer.reference} already has another externalRef")
        changed = msgspec.structs.replace(customer, **fields)
        check_unique(shelf, changed)
        self._catalogue.put(call.environment, [changed])
        return Answer.of(200, self._shown(call, changed))

    def _shown(self, call: Call, customer: Customer) -> dict[str, Any]:
        """The customer with the purchases that are in force."""
        held = self._catalogue[call.environment].purchases_of(customer.reference)
        active = [self._purchases.shown(call, purchase) for purchase in held if purchase.holds_at(iso(call.now))]
        return {**shown(customer), "purchases": active}


def find_customer(shelf: Shelf, call: Call) -> Customer:
    """The customer whom the path names. Raises ProviderError (404)."""
    reference = call.params["reference"]
    customer = shelf.customers.get(reference)
    if customer is None:
        raise ProviderError(404, f"Customer with reference {reference} not found")
    return customer


def read_customer(body: Reading, now: float, reference: str | None = None) -> Customer:
    """A customer from a checked body, with a new reference unless one is given. Raises ProviderError (400)."""
    fields = {"email": "", "name": "", **_fields(body, with_email=True)}
    body.done()
    return Customer(reference=reference or new_reference("cus"), created_at=iso(now), **fields)


def shown(customer: Customer) -> dict[str, Any]:
    """The customer as the provider answers it."""
    answer = {"reference": customer.reference, "name": customer.name, "email": customer.email}
    if customer.external_ref is not None:
        answer["externalRef"] = customer.external_ref
    return answer


def _look_up(shelf: Shelf, name: str, value: str) -> Customer | None:
    match name:
        case "reference":
            return shelf.customers.get(value)
        case "externalRef":
            return shelf.customers_by_external_ref.get(value)
        case _:
            return shelf.customers_by_email.get(value.lower())


def _link(earlier: Customer, external_ref: str | None) -> Customer:
    """The customer who has this email already, with `external_ref` as a further name."""
    if external_ref is None or earlier.external_ref not in (None, external_ref):
        raise ProviderError(409, f"Customer with identifier email {earlier.email} already exists")
    return msgspec.structs.replace(earlier, external_ref=external_ref)


def check_unique(shelf: Shelf, customer: Customer) -> None:
    """Email and externalRef belong to one customer. Raises ProviderError (409)."""
    same_email = shelf.customers_by_email.get(customer.email.lower())
    if same_email is not None and same_email.reference != customer.reference:
        raise ProviderError(409, f"Customer with identifier email {customer.email} already exists")
    linked = shelf.customers_by_external_ref.get(customer.external_ref or "")
    if linked is not None and linked.reference != customer.reference:
        raise ProviderError(409, f"Customer with externalRef {customer.external_ref} already exists")


def _fields(body: Reading, *, with_email: bool) -> dict[str, Any]:
    """The customer's fields that the body gives; `with_email` if it must have one."""
    email = body.text("email", required=with_email)
    if email is not None and not re.fullmatch(EMAIL, email):
        path = [*body.path, "email"]
        issue = {"code": "invalid_string", "validation": "email", "path": path, "message": "Invalid email format"}
        body.issues.append(issue)
    fields = {
        "email": email,
        "name": body.text("name"),
        "telephone": body.text("telephone"),
        "external_ref": body.text("externalRef", min_length=1),
        "metadata": body.mapping("metadata"),
    }
    return {name: value for name, value in fields.items() if value is not None}
