"""Plans over REST: made, changed and deleted under their product, which has at most one default plan."""

from collections.abc import Iterable
from typing import Any

import msgspec

from meter.sandbox.bookkeeping.entries import Plan, Product
from meter.sandbox.bookkeeping.payments import CURRENCY
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.paging import page
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import MAX_WHOLE, Reading

MAX_COUNT = MAX_WHOLE
MAX_CREDITS_PER_UNIT = 10**9

TYPES = ("recurring", "usage-based", "one-time", "hybrid")
CYCLES = ("weekly", "monthly", "quarterly", "yearly", "custom")
MODELS = ("pre-paid", "post-paid")
PLAN_STATUSES = ("active", "inactive", "archived")
_SYMBOLS = {"USD": "$"}


class Plans:
    """The plan routes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def create(self, call: Call) -> Answer:
        """`POST /v1/sdk/products/{reference}/plans`: 201; free units of a usage-based plan come by a later change."""
        shelf = self._catalogue[call.environment]
        product = find_product(shelf, call)
        first = not shelf.plans_of(product.reference)
        plan = read_plan(Reading(call.json()), product.reference, call.now, first=first)
        if plan.type == "usage-based":
            plan = msgspec.structs.replace(plan, free_units=0)
        return Answer.of(201, self._keep(call, plan))

    def page(self, call: Call) -> Answer:
        """`GET /v1/sdk/products/{reference}/plans?limit=&offset=`."""
        shelf = self._catalogue[call.environment]
        plans = shelf.plans_of(find_product(shelf, call).reference)
        return page("plans", [shown_plan(plan) for plan in plans], call.query)

    def get(self, call: Call) -> Answer:
        """`GET /v1/sdk/products/{reference}/plans/{plan}`."""
        return Answer.of(200, shown_plan(self._plan(call)))

    def change(self, call: Call) -> Answer:
        """`PUT /v1/sdk/products/{reference}/plans/{plan}`: only given fields change, and no running purchase does."""
        plan = self._plan(call)
        body = Reading(call.json())
        fields = _fields(body, named=False)
        fields.pop("type", None)  # a plan stays what it is
        body.done()
        return Answer.of(200, self._keep(call, msgspec.structs.replace(plan, updated_at=iso(call.now), **fields)))

    def delete(self, call: Call) -> Answer:
        """`DELETE /v1/sdk/products/{reference}/plans/{plan}`: customers who are on it stay on it."""
        self._catalogue.remove(call.environment, [self._plan(call)])
        return Answer.of(200, {"success": True})

    def _keep(self, call: Call, plan: Plan) -> dict[str, Any]:
        """Keep the plan; if it is the default one, it is so in place of the one before."""
        check_plan(plan)
        shelf = self._catalogue[call.environment]
        self._catalogue.put(call.environment, replacing(plan, shelf.plans_of(plan.product_ref)))
        return shown_plan(plan)

    def _plan(self, call: Call) -> Plan:
        shelf = self._catalogue[call.environment]
        plan = shelf.plans.get(find_product(shelf, call).reference, {}).get(call.params["plan"])
        if plan is None:
            raise ProviderError(404, f"Plan with reference {call.params['plan']} not found")
        return plan


def find_product(shelf: Shelf, call: Call) -> Product:
    """The product that the path names. Raises ProviderError (404)."""
    reference = call.params["reference"]
    product = shelf.products.get(reference)
    if product is None:
        raise ProviderError(404, f"Product with reference {reference} not found")
    return product


def read_plan(body: Reading, product_ref: str, now: float, *, first: bool, reference: str | None = None) -> Plan:
    """A plan from a checked body; a product's first plan is its default, if it may be, unless the body says no."""
    fields = _fields(body, named=True)
    body.done()
    plan = Plan(
        reference=reference or new_reference("pln"),
        product_ref=product_ref,
        created_at=iso(now),
        updated_at=iso(now),
        **fields,
    )
    if "default" not in fields and first and plan.may_be_default:
        return msgspec.structs.replace(plan, default=True)
    return plan


def shown_plan(plan: Plan) -> dict[str, Any]:
    """The plan as the provider answers it."""
    return {
        "type": plan.type,
        "status": plan.status,
        "isActive": plan.status == "active",
        "price": plan.price,
        "currency": plan.currency,
        "currencySymbol": _SYMBOLS.get(plan.currency, plan.currency),
        "default": plan.default,
        "requiresPayment": plan.requires_payment,
        **msgspec.to_builtins(plan),
    }


def _fields(body: Reading, *, named: bool) -> dict[str, Any]:
    """The plan's fields that the body gives; `named` if it must have a name."""
    price, base_price = body.number("price", low=0), body.number("basePrice", low=0)
    fields: dict[str, Any] = {
        "name": body.text("name", required=named, min_length=1),
        "description": body.text("description"),
        "type": body.choice("type", TYPES),
        "status": body.choice("status", PLAN_STATUSES),
        "price": base_price if price is None else price,
        "currency": body.text("currency", min_length=1),
        "billing_cycle": body.choice("billingCycle", CYCLES),
        "billing_model": body.choice("billingModel", MODELS),
        "free_units": body.integer("freeUnits", 0, MAX_COUNT),
        "limit": body.integer("limit", 0, MAX_COUNT),
        "credits_per_unit": body.integer("creditsPerUnit", 1, MAX_CREDITS_PER_UNIT),
        "default": body.flag("default"),
        "rollover_unused_units": body.flag("rolloverUnusedUnits"),
        "hidden": body.flag("hidden"),
        "auto_renew": body.flag("autoRenew"),
        "pricing_options": body.array("pricingOptions"),
        **{name: body.mapping(name) for name in ("features", "limits", "metadata")},
        "setup_fee": body.number("setupFee", low=0),
        "trial_days": body.number("trialDays", low=0),
        "access_expiry_days": body.number("accessExpiryDays", low=0),
        "max_active_users": body.number("maxActiveUsers", low=0),
    }
    return {name: value for name, value in fields.items() if value is not None}


def replacing(plan: Plan, before: Iterable[Plan]) -> list[Plan]:
    """The plan, and what its coming changes of the product's plans before: there is one default plan."""
    replaced = [other for other in before if plan.default and other.default and other.reference != plan.reference]
    return [*(msgspec.structs.replace(other, default=False) for other in replaced), plan]


def check_plan(plan: Plan) -> None:
    """A plan as a whole must make sense. Raises ProviderError (400)."""
    if plan.default and not plan.may_be_default:
        raise ProviderError(400, "Only a free or usage-based plan can be the default plan")
    check_currency(plan)


def check_currency(plan: Plan) -> None:
    """Sums of money are sums of one currency. Raises ProviderError (400)."""
    if plan.currency.upper() != CURRENCY:
        raise ProviderError(400, f"Plan currency must match the provider's default currency ({CURRENCY})")
