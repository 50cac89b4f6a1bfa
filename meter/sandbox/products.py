"""Products and their plans over REST: as much as a free plan with an allowance needs."""

from collections.abc import Mapping
from typing import Any

import msgspec

from meter.sandbox.calls import Answer, Call
from meter.sandbox.catalogue import Catalogue, Plan, Product, Shelf
from meter.sandbox.errors import ProviderError, iso
from meter.sandbox.references import new_reference
from meter.sandbox.shapes import Reading

MAX_COUNT = 2**53
_PLAN_TYPES = ("recurring", "usage-based", "one-time", "hybrid")
_CYCLES = ("weekly", "monthly", "quarterly", "yearly", "custom")
_PAGE = 50
_MAX_PAGE = 100


class Products:
    """The product and plan routes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def create(self, call: Call) -> Answer:
        """`POST /v1/sdk/products`."""
        product = read_product(Reading(call.json()), call.now)
        self._catalogue.put(call.environment, [product])
        return Answer.of(201, shown(product, self._catalogue[call.environment]))

    def list(self, call: Call) -> Answer:
        """`GET /v1/sdk/products?limit=&offset=`."""
        shelf = self._catalogue[call.environment]
        return _page("products", [shown(product, shelf) for product in shelf.products.values()], call.query)

    def get(self, call: Call) -> Answer:
        """`GET /v1/sdk/products/{reference}`."""
        return Answer.of(200, shown(self._product(call), self._catalogue[call.environment]))

    def create_plan(self, call: Call) -> Answer:
        """`POST /v1/sdk/products/{reference}/plans`: a new default plan takes the place of the one before."""
        product = self._product(call)
        shelf = self._catalogue[call.environment]
        plan = read_plan(
            Reading(call.json()), product.reference, call.now, first=not shelf.plans.get(product.reference)
        )
        self._catalogue.put(call.environment, [*_without_default(shelf, plan), plan])
        return Answer.of(201, shown_plan(plan))

    def list_plans(self, call: Call) -> Answer:
        """`GET /v1/sdk/products/{reference}/plans?limit=&offset=`."""
        plans = self._catalogue[call.environment].plans.get(self._product(call).reference, {})
        return _page("plans", [shown_plan(plan) for plan in plans.values()], call.query)

    def _product(self, call: Call) -> Product:
        reference = call.params["reference"]
        product = self._catalogue[call.environment].products.get(reference)
        if product is None:
            raise ProviderError(404, f"Product with reference {reference} not found")
        return product


def read_product(body: Reading, now: float, reference: str | None = None) -> Product:
    """A product from a checked body, with a new reference unless one is given. Raises ProviderError (400)."""
    fields: dict[str, Any] = {
        "name": body.text("name", required=True, min_length=1),
        "description": body.text("description"),
        "image_url": body.text("imageUrl"),
        "product_type": body.text("productType"),
        "is_mcp_pay": body.flag("isMcpPay"),
        "config": body.mapping("config"),
        "metadata": body.mapping("metadata"),
    }
    body.done()
    return Product(reference=reference or new_reference("prd"), created_at=iso(now), updated_at=iso(now), **fields)


def read_plan(body: Reading, product_ref: str, now: float, *, first: bool, reference: str | None = None) -> Plan:
    """A plan from a checked body; a product's first plan is its default unless the body says no."""
    price = body.number("price", low=0)
    base_price = body.number("basePrice", low=0)
    default = body.flag("default")
    fields: dict[str, Any] = {
        "name": body.text("name", min_length=1),
        "description": body.text("description"),
        "type": body.choice("type", _PLAN_TYPES),
        "status": body.choice("status", ("active", "inactive", "archived")),
        "currency": body.text("currency", min_length=1),
        "billing_cycle": body.choice("billingCycle", _CYCLES),
        "billing_model": body.choice("billingModel", ("pre-paid", "post-paid")),
        "free_units": body.integer("freeUnits", 0, MAX_COUNT),
        "limit": body.integer("limit", 0, MAX_COUNT),
        "credits_per_unit": body.integer("creditsPerUnit", 1, MAX_COUNT),
    }
    body.done()
    return Plan(
        reference=reference or new_reference("pln"),
        product_ref=product_ref,
        created_at=iso(now),
        updated_at=iso(now),
        price=price or base_price or 0,
        default=first if default is None else default,
        **{name: value for name, value in fields.items() if value is not None},
    )


def shown(product: Product, shelf: Shelf) -> dict[str, Any]:
    """The product as the provider answers it."""
    return {
        "status": "active",
        "balance": 0,
        "totalTransactions": 0,
        "isMcpPay": False,
        **msgspec.to_builtins(product),
        "plans": [shown_plan(plan) for plan in shelf.plans.get(product.reference, {}).values()],
    }


def shown_plan(plan: Plan) -> dict[str, Any]:
    """The plan as the provider answers it."""
    return {
        "type": plan.type,
        "status": plan.status,
        "isActive": plan.status == "active",
        "price": plan.price,
        "currency": plan.currency,
        "default": plan.default,
        "requiresPayment": plan.requires_payment,
        **msgspec.to_builtins(plan),
    }


def _without_default(shelf: Shelf, new: Plan) -> "list[Plan]":
    """The plans that stop being the default because `new` is."""
    if not new.default:
        return []
    plans = shelf.plans.get(new.product_ref, {}).values()
    return [msgspec.structs.replace(plan, default=False) for plan in plans if plan.default]


def _page(name: str, entries: "list[dict[str, Any]]", query: Mapping[str, str]) -> Answer:
    limit = min(max(_whole(query.get("limit"), _PAGE), 1), _MAX_PAGE)
    offset = max(_whole(query.get("offset"), 0), 0)
    page = entries[offset : offset + limit]
    return Answer.of(200, {name: page, "total": len(entries), "limit": limit, "offset": offset})


def _whole(text: str | None, default: int) -> int:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 15:
        return default
    return int(text)
