"""The thirteen tools as data: what they are for, what they take, and which route of REST does the same."""

from typing import NamedTuple

from meter.sandbox.bookkeeping.usages import ACTION_TYPES, MAX_EVENTS, MAX_KEY_LENGTH, MAX_UNITS, OTHER_NAMES
from meter.sandbox.mcp.parameters import Parameter, Schema, mapping, number, schema, text

ENDPOINT = "/mcp"
OUTCOMES = ("success", "paywall", "fail", "failure", "error")
"""`failure` and `error` mean `fail` here, and nothing to REST."""
PURCHASE_STATUSES = (
    "pending",
    "active",
    "trialing",
    "past_due",
    "cancelled",
    "expired",
    "suspended",
    "refunded",
)


class Tool(NamedTuple):
    """One tool. `twin` is the REST route that does the same; `path_name` and `query_name` are the parameters that go
    into its path (there called `path_field`) and its query."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    twin: tuple[str, str] | None = None
    path_name: str | None = None
    path_field: str = ""
    query_name: str | None = None


_CUSTOMER_SCHEMA = text("Reference of the customer, cus_...", minLength=1)
_OTHER_CUSTOMER_NAMES = ("customerId", "customer", "reference")
_CUSTOMER = Parameter("customerRef", _CUSTOMER_SCHEMA, also=_OTHER_CUSTOMER_NAMES, required=True)
_PRODUCT_SCHEMA = text("Reference of the product, prd_...", minLength=1)
_OTHER_PRODUCT_NAMES = ("productReference", "productId", "agentRef", "product")
_PRODUCT = Parameter("productRef", _PRODUCT_SCHEMA, also=_OTHER_PRODUCT_NAMES, required=True)
_EMAIL = Parameter("email", text("An email address that no other customer has.", minLength=3), required=True)
_NAME = Parameter("name", text("The customer's name."))
_PURCHASE_SCHEMA = text("Reference of the purchase, pur_...", minLength=1)
_REASON = Parameter("reason", text("Why, in your own words."))


def _field(name: str, schema: Schema, *others: str, required: bool = False) -> Parameter:
    """A field of a usage event: all of its other names are understood, `others` are shown too."""
    also = tuple(other for other, meant in OTHER_NAMES if meant == name and other not in others)
    return Parameter(name, schema, others, also, required)


USAGE = (
    _field("customerRef", _CUSTOMER_SCHEMA, "customerId", required=True),
    _field("productRef", _PRODUCT_SCHEMA, "productReference"),
    _field("purchaseRef", text("Reference of the purchase, pur_..."), "purchaseReference"),
    _field("actionType", text(f"What happened: {', '.join(ACTION_TYPES)}; else api_call."), "action"),
    _field("units", number("integer", "How many units; else 1.", minimum=0, maximum=MAX_UNITS)),
    _field("outcome", text(f"How it ended: {', '.join(OUTCOMES)}; else success.", enum=list(OUTCOMES))),
    _field(
        "idempotencyKey",
        text("What is sent again under the same key is counted once.", maxLength=MAX_KEY_LENGTH),
        "requestId",
    ),
    _field("timestamp", text("When it happened, as ISO 8601 in UTC; else now.", format="date-time")),
    _field("duration", number("number", "How long it took in milliseconds.", minimum=0), "actionDuration"),
    _field("description", text("What happened, in your own words.")),
    _field("errorMessage", text("What went wrong.")),
    _field("metadata", mapping("Anything else."), "properties"),
)
"""One usage event."""


def tools(*, strict: bool = False) -> tuple[Tool, ...]:
    """All tools; if `strict`, events inside of `events` are described in first names only."""
    events = {
        "type": "array",
        "description": f"1 to {MAX_EVENTS} usage events, all valid or none recorded.",
        "minItems": 1,
        "maxItems": MAX_EVENTS,
        "items": schema(USAGE, strict=strict),
    }
    return (*_CUSTOMERS, *_PRODUCTS, *_PURCHASES, *_USAGES, _bulk(events))


_CUSTOMERS = (
    Tool(
        "create_customer",
        "Create a customer. An email address that is taken is refused.",
        (
            _EMAIL,
            _NAME,
            Parameter("telephone", text("Telephone number.")),
            Parameter("metadata", mapping("Anything else.")),
        ),
        ("POST", "/v1/sdk/customers"),
    ),
    Tool(
        "ensure_customer",
        "The customer with this email address, created if there is none; safe to repeat.",
        (_EMAIL, _NAME, Parameter("externalRef", text("Your own reference of the customer.", minLength=1))),
    ),
    Tool(
        "create_customer_session",
        "A link, good for fifteen minutes, under which the customer sees and cancels purchases.",
        (_CUSTOMER,),
        ("POST", "/v1/sdk/customers/customer-sessions"),
    ),
)
_PRODUCTS = (
    Tool(
        "create_product",
        "Create a product.",
        (
            Parameter("name", text("The product's name.", minLength=1), required=True),
            Parameter("description", text("What it is.")),
        ),
        ("POST", "/v1/sdk/products"),
    ),
    Tool(
        "get_product_balance",
        "What a product has brought in so far, in minor units of its currency.",
        (_PRODUCT,),
    ),
)
_PURCHASES = (
    Tool(
        "get_purchases_by_customer",
        "The customer's purchases, the oldest first.",
        (
            _CUSTOMER,
            Parameter(
                "status",
                text(f"Only those of this status: {', '.join(PURCHASE_STATUSES)}.", enum=list(PURCHASE_STATUSES)),
            ),
        ),
        ("GET", "/v1/sdk/purchases/customer/{customer}"),
        "customerRef",
        "customer",
        "status",
    ),
    Tool(
        "cancel_renewal",
        "Cancel a purchase: a recurring one runs on to the end of its period.",
        (
            Parameter("purchaseRef", _PURCHASE_SCHEMA, ("purchaseId",), required=True),
            _REASON,
        ),
        ("POST", "/v1/sdk/purchases/{purchase}/cancel"),
        "purchaseRef",
        "purchase",
    ),
    Tool(
        "create_checkout_session",
        "A link, good for fifteen minutes, under which the customer buys a plan.",
        (
            _CUSTOMER,
            _PRODUCT,
            Parameter("planRef", text("Reference of the plan, pln_...; else the product's default plan.")),
            Parameter("returnUrl", text("Where the customer goes afterwards.")),
        ),
        ("POST", "/v1/sdk/checkout-sessions"),
    ),
    Tool(
        "create_refund",
        "Give back what a transaction took, in full or in part.",
        (
            Parameter(
                "sourceTransactionRef",
                text("Reference of the transaction, txn_...", minLength=1),
                ("sourceTransactionId",),
                required=True,
            ),
            Parameter("amount", number("integer", "Minor units, 2500 for $25; else all that is left.", minimum=1)),
            _REASON,
        ),
    ),
    Tool(
        "get_transaction_stats",
        "How many transactions there were, how they ended, and the revenue in minor units.",
        (
            Parameter("fromDate", text("First day, ISO 8601, in UTC; else the beginning.")),
            Parameter("toDate", text("Last day, ISO 8601, in UTC; else the present.")),
        ),
    ),
)
_USAGES = (
    Tool("record_usage", "Record one usage event.", USAGE, ("POST", "/v1/sdk/usages")),
    Tool(
        "check_limits",
        "May this customer go on? How much is left, and if nothing is, a link to buy more.",
        (
            _CUSTOMER,
            _PRODUCT,
            Parameter("meterName", text("What is counted; else requests."), (), ("usageType",)),
        ),
        ("POST", "/v1/sdk/limits"),
    ),
)


def _bulk(events: Schema) -> Tool:
    parameters = (Parameter("events", events, also=("records",), required=True),)
    twin = ("POST", "/v1/sdk/usages/bulk")
    return Tool("record_bulk_usage", "Record many usage events in one call.", parameters, twin)
