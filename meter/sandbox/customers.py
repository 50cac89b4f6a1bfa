"""Customers over REST: created once per email, found by any of their names."""

import re
from typing import Any

from meter.sandbox.calls import Answer, Call
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.entries import Customer
from meter.sandbox.errors import ProviderError, iso
from meter.sandbox.references import new_reference
from meter.sandbox.shapes import Reading

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]+")


class Customers:
    """The customer routes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def create(self, call: Call) -> Answer:
        """`POST /v1/sdk/customers`: 201; an email that is taken is linked (with `externalRef`) or refused (409)."""
        customer = read_customer(Reading(call.json()), call.now)
        shelf = self._catalogue[call.environment]
        earlier = shelf.customers_by_email.get(customer.email.lower())
        if earlier is not None:
            customer = _link(earlier, customer.external_ref)
        linked = shelf.customers_by_external_ref.get(customer.external_ref or "")
        if linked is not None and linked.reference != customer.reference:
            raise ProviderError(409, f"Customer with externalRef {customer.external_ref} already exists")
        self._catalogue.put(call.environment, [customer])
        return Answer.of(201, shown(customer))

    def find(self, call: Call) -> Answer:
        """`GET /v1/sdk/customers?reference|externalRef|email=`: exactly one of the three."""
        given = [(name, call.query[name]) for name in ("reference", "externalRef", "email") if call.query.get(name)]
        if len(given) != 1:
            raise ProviderError(400, "Must provide exactly one of reference, externalRef, or email")
        ((name, value),) = given
        customer = _look_up(self._catalogue[call.environment], name, value)
        if customer is None:
            raise ProviderError(404, "Customer not found")
        return Answer.of(200, shown(customer))

    def get(self, call: Call) -> Answer:
        """`GET /v1/sdk/customers/{reference}`."""
        reference = call.params["reference"]
        customer = self._catalogue[call.environment].customers.get(reference)
        if customer is None:
            raise ProviderError(404, f"Customer with reference {reference} not found")
        return Answer.of(200, shown(customer))


def read_customer(body: Reading, now: float, reference: str | None = None) -> Customer:
    """A customer from a checked body, with a new reference unless one is given. Raises ProviderError (400)."""
    email = body.text("email", required=True)
    if email is not None and not _EMAIL.fullmatch(email):
        path = [*body.path, "email"]
        issue = {"code": "invalid_string", "validation": "email", "path": path, "message": "Invalid email format"}
        body.issues.append(issue)
    name = body.text("name")
    telephone = body.text("telephone")
    external_ref = body.text("externalRef", min_length=1)
    metadata = body.mapping("metadata")
    body.done()
    return Customer(
        reference=reference or new_reference("cus"),
        email=email or "",
        name=name or "",
        created_at=iso(now),
        external_ref=external_ref,
        telephone=telephone,
        metadata=metadata,
    )


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
    return Customer(
        reference=earlier.reference,
        email=earlier.email,
        name=earlier.name,
        created_at=earlier.created_at,
        external_ref=external_ref,
        telephone=earlier.telephone,
        metadata=earlier.metadata,
    )
