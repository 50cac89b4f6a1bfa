"""Products that sell the tools of an MCP server: made with all their plans at once, and configured later.

Nothing stands between the customer and the server here: the proxy's address is the origin's own, and tools that the
body does not name are not looked up there.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from meter.sandbox.bookkeeping.entries import Plan, Product
from meter.sandbox.catalogue import Catalogue, Shelf
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import Reading, custom
from meter.sandbox.sales.plans import check_plan, find_product, read_plan
from meter.sandbox.sales.products import read_product
from meter.sandbox.sales.products import shown as shown_product

FREE = "free"
Keyed = dict[str, Plan]
"""Plans under the keys that the body gives them."""


class McpProducts:
    """The two routes of MCP products."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def bootstrap(self, call: Call) -> Answer:
        """`POST /v1/sdk/products/mcp/bootstrap`: 201; without a free plan in the body there is one nevertheless."""
        body = Reading(call.json())
        origin, domain = body.text("originUrl", required=True, min_length=1) or "", body.text("mcpDomain")
        body.text("authApiKey")
        body.text("authHeaderName")
        host = urlsplit(origin).hostname if _is_url(origin) else None
        if origin and host is None:
            path = [*body.path, "originUrl"]
            body.issues.append({"code": "invalid_string", "validation": "url", "path": path, "message": "Invalid url"})
        named = Reading({"name": domain or host or "", **body.data}, issues=body.issues)
        product = read_product(named, call.now)
        plans = _plans(body, product.reference, call.now, earlier={})
        if all(plan.price > 0 or plan.takes_credits for plan in plans.values()):
            plans = {FREE: _free_plan(product.reference, call.now), **plans}
        plans = _one_default(plans)
        tools = _tools(body, "tools", plans)
        body.done()
        mcp = {
            "mcpServerRef": new_reference("mcp"),
            "mcpSubdomain": re.sub(r"[^a-z0-9]+", "-", (domain or product.name).lower()).strip("-"),
            "mcpProxyUrl": origin,
            "originUrl": origin,
        }
        product = msgspec.structs.replace(product, is_mcp_pay=True, mcp=_linked(mcp, plans, tools))
        kept = self._kept(call, product, plans)
        return Answer.of(201, {**kept, "toolsAutoMapped": False, "autoMappedTools": []})

    def configure(self, call: Call) -> Answer:
        """`PUT /v1/sdk/products/{reference}/mcp/plans`: given plans take the place of all but the free one.

        A plan whose key is known is changed; what is left out is archived, and customers who are on it stay on it.
        """
        shelf = self._catalogue[call.environment]
        product = find_product(shelf, call)
        if product.mcp is None:
            raise ProviderError(400, f"Product with reference {product.reference} is not MCP-enabled")
        earlier = _earlier(shelf, product)
        body = Reading(call.json())
        plans = earlier
        if body.array("plans") is not None:
            given = _plans(body, product.reference, call.now, earlier)
            free = {key: plan for key, plan in earlier.items() if plan.default and key not in given}
            plans = _one_default({**free, **given})
        tools = _tools(body, "toolMapping", plans)
        body.done()
        left_out = [
            msgspec.structs.replace(plan, status="archived", default=False, updated_at=iso(call.now))
            for key, plan in earlier.items()
            if key not in plans
        ]
        mcp = _linked(product.mcp, plans, tools if body.array("toolMapping") is not None else product.mcp["tools"])
        product = msgspec.structs.replace(product, updated_at=iso(call.now), mcp=mcp)
        return Answer.of(200, self._kept(call, product, plans, left_out))

    def _kept(self, call: Call, product: Product, plans: Keyed, left_out: Sequence[Plan] = ()) -> dict[str, Any]:
        """Keep product and plans, all or none; the answer about them."""
        self._catalogue.put(call.environment, [product, *plans.values(), *left_out])
        mcp = product.mcp or {}
        server = {
            "reference": mcp["mcpServerRef"],
            "subdomain": mcp["mcpSubdomain"],
            "mcpProxyUrl": mcp["mcpProxyUrl"],
            "url": mcp["originUrl"],
            "defaultPlanRef": mcp["defaultPlanRef"],
        }
        plan_map = {key: {"reference": plan.reference, "name": plan.name} for key, plan in plans.items()}
        shown = shown_product(product, self._catalogue[call.environment])
        return {"product": shown, "mcpServer": server, "planMap": plan_map}


def _linked(mcp: dict[str, Any], plans: Keyed, tools: dict[str, list[str]]) -> dict[str, Any]:
    """What the product says about its server, with its plans and tools as they are now."""
    return {
        **mcp,
        "defaultPlanRef": next((plan.reference for plan in plans.values() if plan.default), None),
        "plans": {key: plan.reference for key, plan in plans.items()},
        "tools": tools,
    }


def _earlier(shelf: Shelf, product: Product) -> Keyed:
    """The product's plans under their keys, as far as they are still there."""
    plans, keys = shelf.plans.get(product.reference, {}), (product.mcp or {})["plans"]
    return {key: plans[reference] for key, reference in keys.items() if reference in plans}


def _plans(body: Reading, product_ref: str, now: float, earlier: Keyed) -> Keyed:
    """The plans of the body; one whose key is among `earlier` keeps its reference and its beginning."""
    plans: Keyed = {}
    for index, item in enumerate(body.array("plans") or []):
        reading = Reading(item, ("plans", index))
        key = reading.text("key", required=True, min_length=1) or ""
        reading.number("price", low=0, required=True)
        reading.text("currency", required=True, min_length=1)
        reading.choice("type", ("recurring", "one-time", "usage-based"))
        if key in plans:
            reading.issues.append(custom(("plans", index, "key"), f"Duplicate plan key '{key}'"))
        before = earlier.get(key)
        if reading.issues:
            body.issues.extend(reading.issues)
            continue
        plan = read_plan(reading, product_ref, now, first=False, reference=before.reference if before else None)
        check_plan(plan)
        kept = {"created_at": before.created_at, "default": before.default and plan.may_be_default} if before else {}
        plans[key] = msgspec.structs.replace(plan, **kept)
    return plans


def _one_default(plans: Keyed) -> Keyed:
    """The plans with one default among them: the one that is, else the first free one, if there is any."""
    found = next((key for key, plan in plans.items() if plan.default), None)
    found = found or next((key for key, plan in plans.items() if not plan.requires_payment), None)
    return {key: msgspec.structs.replace(plan, default=key == found) for key, plan in plans.items()}


def _free_plan(product_ref: str, now: float) -> Plan:
    return read_plan(Reading({"name": "Free", "price": 0}), product_ref, now, first=True)


def _tools(body: Reading, name: str, plans: Keyed) -> dict[str, list[str]]:
    """For each tool the keys of the plans that include it."""
    tools: dict[str, list[str]] = {}
    for index, item in enumerate(body.array(name) or []):
        reading = Reading(item, (name, index), body.issues)
        tool = reading.text("name", required=True, min_length=1) or ""
        reading.text("description")
        free = reading.flag("noPlan")
        keys = reading.array("planKeys", required=name == "toolMapping") or []
        unknown = [key for key in keys if not isinstance(key, str) or key not in plans]
        if unknown:
            body.issues.append(custom((name, index, "planKeys"), f"Unknown plan key: {unknown[0]}"))
        tools[tool] = [] if free else [key for key in keys if key not in unknown]
    return tools


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        known = parts.port != 0  # reading a port that is none raises as well
    except ValueError:
        return False
    return known and parts.scheme in ("http", "https")
