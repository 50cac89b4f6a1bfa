"""What the provider's routes answer, as JSON Schemas under names."""

from meter.sandbox.bookkeeping.entries import Plan, Product
from meter.sandbox.description.schemas import (
    FIGURE,
    FLAG,
    INTEGER,
    MOMENT,
    MONEY,
    OBJECT,
    TEXT,
    Schema,
    array,
    choice,
    of_struct,
    or_null,
    record,
    ref,
)
from meter.sandbox.sales.plans import CYCLES

_SUCCESS: Schema = {"const": True}
_CREDIT = {"creditBalance": INTEGER, "creditsPerUnit": INTEGER, "currency": TEXT}
_CHECKOUT = {"checkoutSessionId": TEXT, "checkoutUrl": TEXT}
_SKIPPED = ["duplicate", "no_product_ref", "customer_not_found", "no_active_purchase", "plan_not_credit_based"]
_DEBIT: Schema = {
    "oneOf": [
        record({"debited": {"const": True}, "amount": INTEGER, "unitsRemaining": INTEGER}),
        record({"debited": {"const": False}, "reason": choice(_SKIPPED)}),
    ]
}
_RECORDED = {"reference": {"type": "string", "pattern": "^usage_[0-9A-Z]{8}$"}}
_PURCHASE_STATUSES = ("pending", "active", "trialing", "past_due", "cancelled", "expired", "suspended", "refunded")
_PAGE = {"total": INTEGER, "limit": INTEGER, "offset": INTEGER}

_INTENT = {
    **dict.fromkeys(("processorPaymentId", "clientSecret", "currency", "purpose", "customerRef"), TEXT),
    "status": choice(["requires_payment_method", "succeeded", "failed", "cancelled"]),
    "amount": MONEY,
    **dict.fromkeys(("createdAt", "expiresAt"), MOMENT),
}
_INTENT_MORE = dict.fromkeys(("productRef", "planRef", "pricingTier", "description"), TEXT)
_ENDPOINT = {
    **dict.fromkeys(("id", "url"), TEXT),
    "enabledEvents": array(TEXT),
    "status": choice(["enabled", "disabled"]),
    "createdAt": MOMENT,
}
_MCP_PRODUCT = {
    "product": ref("Product"),
    "mcpServer": record(
        {**dict.fromkeys(("reference", "subdomain", "mcpProxyUrl", "url"), TEXT), "defaultPlanRef": or_null(TEXT)}
    ),
    "planMap": {
        "type": "object",
        "additionalProperties": record({"reference": TEXT, "name": TEXT}),
        "description": "The plans under the keys that they were given with",
    },
}

SHOWN: dict[str, Schema] = {
    "Error": record({"statusCode": INTEGER, "message": TEXT, "error": TEXT}),
    "ValidationFailed": record(
        {
            "statusCode": {"const": 400},
            "message": {"const": "Validation failed"},
            "errors": array(ref("Issue"), minItems=1),
            "timestamp": MOMENT,
            "path": TEXT,
        }
    ),
    "Issue": {
        **record(
            {"code": TEXT, "path": array({"type": ["string", "integer"]}), "message": TEXT},
            {
                **dict.fromkeys(("expected", "validation", "type"), TEXT),
                **dict.fromkeys(("minimum", "maximum"), FIGURE),
                "received": {},
                "options": array(TEXT),
                "inclusive": FLAG,
            },
        ),
        "description": "What is wrong, and where",
    },
    "Recorded": record({"success": _SUCCESS, **_RECORDED}, {"creditDebit": _DEBIT}),
    "RecordedBulk": record(
        {"success": _SUCCESS, "inserted": INTEGER, "results": array(record(_RECORDED, {"creditDebit": _DEBIT}))}
    ),
    "Limits": record(
        {
            "withinLimits": FLAG,
            "remaining": INTEGER,
            "meterName": TEXT,
            "plans": array(ref("Offer")),
            "product": record({"reference": TEXT, "name": TEXT}),
        },
        {
            **_CREDIT,
            **_CHECKOUT,
            "plan": TEXT,
            "activationRequired": FLAG,
            "confirmationUrl": TEXT,
            "balance": record(_CREDIT, {"remainingUnits": INTEGER}),
        },
    ),
    "Offer": record(
        {"reference": TEXT, "type": TEXT, "price": MONEY, "currency": TEXT, "requiresPayment": FLAG},
        {
            **dict.fromkeys(("name", "billingModel", "billingCycle"), TEXT),
            "freeUnits": INTEGER,
            "creditsPerUnit": INTEGER,
            "pricingOptions": array({}),
        },
    ),
    "Customer": record(
        {"reference": TEXT, "name": TEXT, "email": TEXT, "purchases": array(ref("Purchase"))}, {"externalRef": TEXT}
    ),
    "Balance": record(
        {
            "customerRef": TEXT,
            "credits": INTEGER,
            "displayCurrency": TEXT,
            "creditsPerMinorUnit": INTEGER,
            "displayExchangeRate": FIGURE,
            "display": record(
                {
                    "amountMajor": FIGURE,
                    "currency": TEXT,
                    "formatted": TEXT,
                    "exchangeRate": FIGURE,
                    "rateSource": TEXT,
                }
            ),
        }
    ),
    "Granted": record(
        {"success": _SUCCESS, "customerRef": TEXT, "credits": INTEGER, "balance": INTEGER}, {"reason": TEXT}
    ),
    "Product": of_struct(
        Product, balance=MONEY, totalTransactions=INTEGER, status=TEXT, isMcpPay=FLAG, plans=array(ref("Plan"))
    ),
    "Products": record({"products": array(ref("Product")), **_PAGE}),
    "Deleted": record({"success": _SUCCESS}, {"action": choice(["deleted", "deactivated", "soft_deleted"])}),
    "Plan": of_struct(Plan, isActive=FLAG, currencySymbol=TEXT, requiresPayment=FLAG),
    "Plans": record({"plans": array(ref("Plan")), **_PAGE}),
    "Activated": record(
        {"status": choice(["activated", "already_active", "topup_required", "payment_required", "invalid"])},
        {**_CREDIT, **_CHECKOUT, "purchaseRef": TEXT, "message": TEXT},
    ),
    "Purchase": record(
        {
            **dict.fromkeys(("reference", "customerRef", "customerEmail", "productRef", "planRef", "currency"), TEXT),
            **dict.fromkeys(("startDate", "createdAt"), MOMENT),
            **dict.fromkeys(("amount", "originalAmount"), MONEY),
            **dict.fromkeys(("isRecurring", "autoRenew"), FLAG),
            "status": choice(_PURCHASE_STATUSES),
            "exchangeRate": FIGURE,
            "planSnapshot": ref("PlanSnapshot"),
            "usage": record(
                {
                    **dict.fromkeys(("used", "overageUnits"), INTEGER),
                    "overageCost": MONEY,
                    **dict.fromkeys(("periodStart", "periodEnd"), MOMENT),
                }
            ),
        },
        {
            **dict.fromkeys(("endDate", "paidAt", "nextBillingDate", "cancelledAt"), MOMENT),
            **dict.fromkeys(("productName", "cancellationReason"), TEXT),
            "billingCycle": choice([cycle for cycle in CYCLES if cycle != "custom"]),
        },
    ),
    "PlanSnapshot": record(
        {"reference": TEXT, "price": MONEY, "currency": TEXT, "planType": TEXT, "billingCycle": or_null(TEXT)},
        {
            "name": TEXT,
            **dict.fromkeys(("freeUnits", "limit", "creditsPerUnit"), INTEGER),
            **dict.fromkeys(("features", "limits"), OBJECT),
        },
    ),
    "Purchases": record({"purchases": array(ref("Purchase"))}),
    "ChangedPurchase": record({"success": _SUCCESS, "purchase": ref("Purchase")}),
    "CheckoutSession": record({"sessionId": TEXT, "checkoutUrl": TEXT}),
    "CustomerLink": record({"sessionId": TEXT, "customerUrl": TEXT}),
    "CustomerSession": record(
        {
            "sessionId": TEXT,
            "status": choice(["active", "used", "expired"]),
            "customerUrl": TEXT,
            "customer": ref("Customer"),
            **dict.fromkeys(("expiresAt", "createdAt", "updatedAt"), MOMENT),
        }
    ),
    "UserInfo": record(
        {
            "status": TEXT,
            "verifyUrl": TEXT,
            "user": record({"reference": TEXT, "email": TEXT, "name": TEXT, "externalRef": or_null(TEXT)}),
        },
        {"purchase": ref("UserPurchase")},
    ),
    "UserPurchase": record(
        {
            **dict.fromkeys(("reference", "status", "productName", "planType"), TEXT),
            "startDate": MOMENT,
            "endDate": or_null(MOMENT),
            "plan": record(
                {
                    **dict.fromkeys(("reference", "type", "currency"), TEXT),
                    "price": MONEY,
                    "billingCycle": or_null(TEXT),
                    "limits": or_null(OBJECT),
                }
            ),
            "usage": record(
                {
                    **dict.fromkeys(("used", "remaining", "total"), INTEGER),
                    "percentUsed": or_null(FIGURE),
                }
            ),
        }
    ),
    "NewIntent": record(
        {**_INTENT, "publishableKey": TEXT, "originalAmount": MONEY, "exchangeRate": FIGURE}, _INTENT_MORE
    ),
    "Intent": record(_INTENT, _INTENT_MORE),
    "Intents": record({"paymentIntents": array(ref("Intent")), **_PAGE}),
    "IntentNotFound": record(
        {"success": {"const": False}, "error": TEXT, "code": {"const": "PAYMENT_INTENT_NOT_FOUND"}}
    ),
    "Processed": record({"status": choice(["succeeded", "timeout", "failed", "cancelled"])}, {"message": TEXT}),
    "McpProduct": record(_MCP_PRODUCT),
    "Bootstrapped": record({**_MCP_PRODUCT, "toolsAutoMapped": FLAG, "autoMappedTools": array(OBJECT)}),
    "NewEndpoint": record({**_ENDPOINT, "secret": TEXT}),
    "Endpoint": record(_ENDPOINT),
    "Endpoints": record({"webhookEndpoints": array(ref("Endpoint")), "total": INTEGER}),
    "EventTypes": array(record({"category": TEXT, "events": array(record({"type": TEXT, "description": TEXT}))})),
    "Event": record(
        {
            **dict.fromkeys(("id", "type", "api_version"), TEXT),
            "created": INTEGER,
            "livemode": FLAG,
            "data": record({"object": OBJECT, "previous_attributes": or_null(OBJECT)}),
            "request": record(dict.fromkeys(("id", "idempotency_key"), or_null(TEXT))),
        }
    ),
    "Kept": record({"success": _SUCCESS}, {"inserted": INTEGER}),
    "Merchant": record(
        dict.fromkeys(("displayName", "legalName", "country", "defaultCurrency"), TEXT),
        dict.fromkeys(("supportEmail", "statementDescriptor"), TEXT),
    ),
    "PlatformConfig": record({"stripePublishableKey": TEXT}),
    "PaymentMethod": record({"kind": {"const": "none"}}),
}
