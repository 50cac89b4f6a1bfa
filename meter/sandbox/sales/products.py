"""Products over REST: made, listed, changed, copied and deleted with their plans."""

from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import Product
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import LIVE, Answer, Call
from meter.sandbox.rest.errors import iso
from meter.sandbox.rest.paging import page
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import Reading
from meter.sandbox.sales.plans import find_product, shown_plan

DELETED = "deleted"


class Products:
    """The product routes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def create(self, call: Call) -> Answer:
        """`POST /v1/sdk/products`."""
        product = read_product(Reading(call.json()), call.now)
        shelf = self._catalogue[call.environment]
        reserved = shelf.reserved("product", product.name, iso(call.now))
        if reserved is not None:
            product = msgspec.structs.replace(product, reference=reserved.gives)
        self._catalogue.put(call.environment, [product, *([reserved] if reserved else [])])
        return Answer.of(201, shown(product, shelf))

    def page(self, call: Call) -> Answer:
        """`GET /v1/sdk/products?limit=&offset=&search=&status=&isMcpPay=`."""
        shelf = self._catalogue[call.environment]
        found = [shown(product, shelf) for product in shelf.products.values() if product.status != DELETED]
        search = call.query.get("search", "").lower()
        if search:
            found = [product for product in found if search in product["name"].lower()]
        if call.query.get("status"):
            found = [product for product in found if product["status"] == call.query["status"]]
        if call.query.get("isMcpPay") in ("true", "false"):
            found = [product for product in found if product["isMcpPay"] is (call.query["isMcpPay"] == "true")]
        return page("products", found, call.query)

    def get(self, call: Call) -> Answer:
        """`GET /v1/sdk/products/{reference}`."""
        shelf = self._catalogue[call.environment]
        return Answer.of(200, shown(find_product(shelf, call), shelf))

    def change(self, call: Call) -> Answer:
        """`PUT /v1/sdk/products/{reference}`: only given fields change."""
        shelf = self._catalogue[call.environment]
        product = find_product(shelf, call)
        body = Reading(call.json())
        fields = _fields(body, named=False)
        fields["status"] = body.choice("status", ("active", "inactive", "suspended"))
        body.done()
        given = {name: value for name, value in fields.items() if value is not None}
        product = msgspec.structs.replace(product, updated_at=iso(call.now), **given)
        self._catalogue.put(call.environment, [product])
        return Answer.of(200, shown(product, shelf))

    def clone(self, call: Call) -> Answer:
        """`POST /v1/sdk/products/{reference}/clone`: 201, a deep copy with new references, plans included."""
        shelf = self._catalogue[call.environment]
        product = find_product(shelf, call)
        body = Reading(call.json())
        name = body.text("name", min_length=1)
        body.done()
        fresh: dict[str, Any] = {"created_at": iso(call.now), "updated_at": iso(call.now)}
        reference = new_reference("prd")
        copy = msgspec.structs.replace(product, reference=reference, name=name or f"{product.name} (copy)", **fresh)
        plans = [
            msgspec.structs.replace(plan, reference=new_reference("pln"), product_ref=reference, **fresh)
            for plan in shelf.plans_of(product.reference)
        ]
        self._catalogue.put(call.environment, [copy, *plans])
        return Answer.of(201, shown(copy, shelf))

    def delete(self, call: Call) -> Answer:
        """`DELETE /v1/sdk/products/{reference}`: for good; live data is only hidden, or deactivated once sold."""
        shelf = self._catalogue[call.environment]
        product = find_product(shelf, call)
        if call.environment != LIVE:
            self._catalogue.remove(call.environment, [product, *shelf.plans_of(product.reference)])
            return Answer.of(200, {"success": True, "action": "deleted"})
        sold = any(purchase.product_ref == product.reference for purchase in shelf.purchases.values())
        status, action = ("inactive", "deactivated") if sold else (DELETED, "soft_deleted")
        self._catalogue.put(
            call.environment, [msgspec.structs.replace(product, status=status, updated_at=iso(call.now))]
        )
        return Answer.of(200, {"success": True, "action": action})


def read_product(body: Reading, now: float, reference: str | None = None) -> Product:
    """A product from a checked body, with a new reference unless one is given. Raises ProviderError (400)."""
    fields = {**_fields(body, named=True), "is_mcp_pay": body.flag("isMcpPay")}
    body.done()
    return Product(reference=reference or new_reference("prd"), created_at=iso(now), updated_at=iso(now), **fields)


def shown(product: Product, shelf: Shelf) -> dict[str, Any]:
    """The product as the provider answers it."""
    figures = shelf.books.of_product(product.reference)
    return {
        "status": product.status,
        "balance": figures.revenue,
        "totalTransactions": figures.total,
        "isMcpPay": False,
        **msgspec.to_builtins(product),
        "plans": [shown_plan(plan) for plan in shelf.plans_of(product.reference)],
    }


def _fields(body: Reading, *, named: bool) -> dict[str, Any]:
    return {
        "name": body.text("name", required=named, min_length=1),
        "description": body.text("description"),
        "image_url": body.text("imageUrl"),
        "product_type": body.text("productType"),
        "config": body.mapping("config"),
        "metadata": body.mapping("metadata"),
    }
