"""What each of the provider's operations takes and answers; the routes themselves are in `routes.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meter.sandbox.description import requests
from meter.sandbox.description.schemas import SOME_TEXT, TEXT, Schema
from meter.sandbox.rest.paging import DEFAULT_LIMIT, MAX_LIMIT
from meter.sandbox.sales.credits import MAX_KEY_LENGTH


@dataclass(frozen=True, slots=True)
class Operation:
    """`answers` names a schema of `answers.py`; `refuses` are statuses beside 401, and beside 400 when it has a body.

    `not_found` names the schemas of its 404.
    """

    answers: str
    status: int = 200
    body: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    refuses: tuple[int, ...] = ()
    not_found: tuple[str, ...] = ("Error",)


_PAGE: dict[str, Schema] = {
    "limit": {**TEXT, "description": f"1 to {MAX_LIMIT}, held within these bounds; otherwise {DEFAULT_LIMIT}"},
    "offset": {**TEXT, "description": "A whole number; otherwise 0"},
}
_FILTERS: dict[str, Schema] = {
    **dict.fromkeys(("status", "productRef", "customerRef"), TEXT),
    "includeFree": {**TEXT, "description": "`false` leaves out what nobody pays for"},
}
_KEY: dict[str, Schema] = {"Idempotency-Key": {**TEXT, "maxLength": MAX_KEY_LENGTH}}

_USAGE = {
    "POST /v1/sdk/usages": Operation("Recorded", body=requests.USAGE, refuses=(404,)),
    "POST /v1/sdk/usages/bulk": Operation("RecordedBulk", body=requests.USAGES, refuses=(404,)),
    "POST /v1/sdk/limits": Operation("Limits", body=requests.LIMITS, refuses=(404,)),
    "POST /v1/sdk/meter-events": Operation("Kept", body=requests.METER_EVENT, refuses=(404,)),
    "POST /v1/sdk/meter-events/bulk": Operation("Kept", body=requests.METER_EVENTS, refuses=(404,)),
}
_CUSTOMERS = {
    "POST /v1/sdk/customers": Operation("Customer", 201, requests.NEW_CUSTOMER, refuses=(409,)),
    "GET /v1/sdk/customers": Operation(
        "Customer", query=dict.fromkeys(("reference", "externalRef", "email"), TEXT), refuses=(400, 404)
    ),
    "GET /v1/sdk/customers/{reference}": Operation("Customer", refuses=(404,)),
    "PATCH /v1/sdk/customers/{reference}": Operation("Customer", body=requests.CHANGED_CUSTOMER, refuses=(404, 409)),
    "GET /v1/sdk/customers/{reference}/balance": Operation("Balance", refuses=(404,)),
    "POST /v1/sdk/customers/{reference}/credits": Operation(
        "Granted", body=requests.CREDITS, headers=_KEY, refuses=(404,)
    ),
    "POST /v1/sdk/user-info": Operation("UserInfo", body=requests.USER_INFO, refuses=(404,)),
}
_SESSIONS = {
    "POST /v1/sdk/checkout-sessions": Operation("CheckoutSession", 201, requests.CHECKOUT_SESSION, refuses=(404,)),
    "POST /v1/sdk/customers/customer-sessions": Operation(
        "CustomerLink", 201, requests.CUSTOMER_SESSION, refuses=(404,)
    ),
    "GET /v1/sdk/customers/customer-sessions/{session}": Operation("CustomerSession", refuses=(404,)),
}
_PRODUCTS = {
    "POST /v1/sdk/products": Operation("Product", 201, requests.NEW_PRODUCT),
    "GET /v1/sdk/products": Operation(
        "Products", query={**_PAGE, **dict.fromkeys(("search", "status", "isMcpPay"), TEXT)}
    ),
    "GET /v1/sdk/products/{reference}": Operation("Product", refuses=(404,)),
    "PUT /v1/sdk/products/{reference}": Operation("Product", body=requests.CHANGED_PRODUCT, refuses=(404,)),
    "DELETE /v1/sdk/products/{reference}": Operation("Deleted", refuses=(404,)),
    "POST /v1/sdk/products/{reference}/clone": Operation("Product", 201, requests.CLONE, refuses=(404,)),
    "POST /v1/sdk/products/{reference}/plans": Operation("Plan", 201, requests.NEW_PLAN, refuses=(404,)),
    "GET /v1/sdk/products/{reference}/plans": Operation("Plans", query=_PAGE, refuses=(404,)),
    "GET /v1/sdk/products/{reference}/plans/{plan}": Operation("Plan", refuses=(404,)),
    "PUT /v1/sdk/products/{reference}/plans/{plan}": Operation("Plan", body=requests.CHANGED_PLAN, refuses=(404,)),
    "DELETE /v1/sdk/products/{reference}/plans/{plan}": Operation("Deleted", refuses=(404,)),
}
_PURCHASES = {
    "POST /v1/sdk/activate": Operation("Activated", body=requests.ACTIVATION, refuses=(404,)),
    "GET /v1/sdk/purchases": Operation("Purchases", query=_FILTERS),
    "GET /v1/sdk/purchases/customer/{customer}": Operation("Purchases", query=_FILTERS, refuses=(404,)),
    "GET /v1/sdk/purchases/product/{product}": Operation("Purchases", query=_FILTERS, refuses=(404,)),
    "GET /v1/sdk/purchases/{purchase}": Operation("Purchase", refuses=(404,)),
    "POST /v1/sdk/purchases/{purchase}/cancel": Operation(
        "ChangedPurchase", body=requests.CANCELLATION, refuses=(404,)
    ),
    "POST /v1/sdk/purchases/{purchase}/reactivate": Operation("ChangedPurchase", refuses=(400, 404)),
}
_INTENTS = {
    "POST /v1/sdk/payment-intents": Operation(
        "NewIntent", 201, requests.INTENT, headers=_KEY, required=frozenset(_KEY), refuses=(404,)
    ),
    "GET /v1/sdk/payment-intents": Operation("Intents", query=_PAGE),
    "GET /v1/sdk/payment-intents/{reference}": Operation("Intent", refuses=(404,), not_found=("IntentNotFound",)),
    "POST /v1/sdk/payment-intents/{reference}/process": Operation(
        "Processed", body=requests.PROCESSING, refuses=(404,), not_found=("IntentNotFound", "Error")
    ),
}
_MCP_PRODUCTS = {
    "POST /v1/sdk/products/mcp/bootstrap": Operation("Bootstrapped", 201, requests.BOOTSTRAP),
    "PUT /v1/sdk/products/{reference}/mcp/plans": Operation("McpProduct", body=requests.MCP_PLANS, refuses=(404,)),
}
_WEBHOOKS = {
    "POST /v1/webhook_endpoints": Operation("NewEndpoint", 201, requests.ENDPOINT),
    "GET /v1/webhook_endpoints": Operation("Endpoints"),
    "GET /v1/webhook_endpoints/{endpoint}": Operation("Endpoint", refuses=(404,)),
    "DELETE /v1/webhook_endpoints/{endpoint}": Operation("Deleted", refuses=(404,)),
    "GET /v1/sdk/webhooks/event-types": Operation("EventTypes"),
    "GET /v1/sdk/webhooks/event-schema": Operation("Event", query={"type": TEXT}, refuses=(404,)),
}
_SELLER = {
    "GET /v1/sdk/merchant": Operation("Merchant"),
    "GET /v1/sdk/platform-config": Operation("PlatformConfig"),
    "GET /v1/sdk/payment-method": Operation(
        "PaymentMethod", query={"customerRef": SOME_TEXT}, required=frozenset({"customerRef"}), refuses=(404,)
    ),
}

OPERATIONS: dict[str, Operation] = {
    **_USAGE,
    **_CUSTOMERS,
    **_SESSIONS,
    **_PRODUCTS,
    **_MCP_PRODUCTS,
    **_PURCHASES,
    **_INTENTS,
    **_WEBHOOKS,
    **_SELLER,
}
"""Method and path, and what is behind them."""
