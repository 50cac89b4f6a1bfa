"""What request bodies the provider's routes take, as JSON Schemas; a test holds them against what is really taken."""

from meter.sandbox.bookkeeping.payments import CURRENCY
from meter.sandbox.bookkeeping.usages import MAX_EVENTS, OTHER_NAMES, Usage
from meter.sandbox.description.schemas import (
    FLAG,
    MOMENT,
    NUMBER,
    OBJECT,
    SOME_NUMBER,
    SOME_TEXT,
    TEXT,
    Schema,
    array,
    choice,
    integer,
    of_struct,
    record,
)
from meter.sandbox.sales.credits import MAX_GRANT
from meter.sandbox.sales.customers import EMAIL
from meter.sandbox.sales.intents import AMOUNTS, PURPOSES
from meter.sandbox.sales.plans import CYCLES, MAX_COUNT, MAX_CREDITS_PER_UNIT, MODELS, PLAN_STATUSES, TYPES
from meter.sandbox.usage.meter_events import METERS
from meter.sandbox.webhooks.endpoints import MAX_URL_LENGTH

_REFS = {"customerRef": SOME_TEXT, "productRef": SOME_TEXT}
_OLD_NAMES = ", ".join(f"`{other}` for `{name}`" for other, name in OTHER_NAMES)
_USAGE = {
    **of_struct(Usage, metadata=OBJECT),
    "description": f"Unless the knob `strict_names` is on, names of earlier versions are taken as well: {_OLD_NAMES}, "
    "`action` and `requestId`; two that differ are refused.",
}
_USAGE["properties"]["timestamp"] = {
    **MOMENT,
    "description": "UTC with `Z`, at most 30 days old and 24 hours ahead. Without it: now.",
}
_METER_EVENT = record(
    {"meterName": choice(METERS), "customerRef": SOME_TEXT},
    {"productRef": TEXT, "value": NUMBER, "timestamp": TEXT, "properties": OBJECT},
)
_CUSTOMER: dict[str, Schema] = {"name": TEXT, "telephone": TEXT, "externalRef": SOME_TEXT, "metadata": OBJECT}
_EMAIL: Schema = {"type": "string", "pattern": EMAIL, "description": "Unique in any case"}
_PRODUCT: dict[str, Schema] = {
    "description": TEXT,
    "imageUrl": TEXT,
    "productType": TEXT,
    "config": OBJECT,
    "metadata": OBJECT,
}
_MONEYS = ("price", "basePrice", "setupFee", "trialDays", "accessExpiryDays", "maxActiveUsers")
_CURRENCY: Schema = {
    "type": "string",
    "pattern": "^{}$".format("".join(f"[{letter}{letter.lower()}]" for letter in CURRENCY)),
    "description": "The provider's default currency, in any case",
}
_PLAN: dict[str, Schema] = {
    "description": TEXT,
    "status": choice(PLAN_STATUSES),
    "currency": _CURRENCY,
    "billingCycle": choice(CYCLES),
    "billingModel": choice(MODELS),
    "freeUnits": integer(0, MAX_COUNT),
    "limit": integer(0, MAX_COUNT),
    "creditsPerUnit": integer(1, MAX_CREDITS_PER_UNIT),
    "default": {**FLAG, "description": "Only a free or usage-based plan can be the default plan"},
    "rolloverUnusedUnits": FLAG,
    "hidden": FLAG,
    "autoRenew": FLAG,
    "pricingOptions": array({}),
    **dict.fromkeys(("features", "limits", "metadata"), OBJECT),
    **dict.fromkeys(_MONEYS, SOME_NUMBER),
}
_URL: Schema = {"type": "string", "format": "uri", "description": "http or https"}
_KEYED_PLAN = record(
    {"key": SOME_TEXT, "name": SOME_TEXT, "price": SOME_NUMBER, "currency": _CURRENCY},
    {**_PLAN, "type": choice([kind for kind in TYPES if kind != "hybrid"])},
)
_KEYED_PLANS: Schema = {**array(_KEYED_PLAN), "description": "Each key once"}
_TOOLS: Schema = {
    **array(record({"name": SOME_TEXT}, {"noPlan": FLAG, "planKeys": array(TEXT)})),
    "description": "Plans are named by their keys",
}

USAGE = _USAGE
USAGES = record({"events": array(_USAGE, minItems=1, maxItems=MAX_EVENTS)})
LIMITS = record(_REFS, {"meterName": TEXT, "usageType": TEXT, "includeCheckoutSession": FLAG})
CHECKOUT_SESSION = {
    **record(
        {"customerRef": SOME_TEXT},
        {"productRef": SOME_TEXT, "planRef": TEXT, "returnUrl": TEXT, "purpose": choice(["credit_topup"])},
    ),
    "anyOf": [{"required": ["productRef"]}, {"required": ["purpose"]}],
}
CUSTOMER_SESSION = record({"customerRef": SOME_TEXT}, {"productRef": TEXT})
NEW_CUSTOMER = record({"email": _EMAIL}, _CUSTOMER)
CHANGED_CUSTOMER = record({}, _CUSTOMER)
CREDITS = record({"credits": integer(1, MAX_GRANT)}, {"reason": TEXT})
NEW_PRODUCT = record({"name": SOME_TEXT}, {**_PRODUCT, "isMcpPay": FLAG})
CHANGED_PRODUCT = record({}, {"name": SOME_TEXT, **_PRODUCT, "status": choice(["active", "inactive", "suspended"])})
CLONE = record({}, {"name": SOME_TEXT})
NEW_PLAN = record({"name": SOME_TEXT}, {**_PLAN, "type": choice(TYPES)})
CHANGED_PLAN = record({}, {"name": SOME_TEXT, **_PLAN, "type": choice(TYPES)})
ACTIVATION = record({**_REFS, "planRef": SOME_TEXT})
CANCELLATION = record({}, {"reason": TEXT})
USER_INFO = record(_REFS)
INTENT = {
    **record(
        {"customerRef": SOME_TEXT},
        {
            "purpose": choice(PURPOSES),
            "productRef": SOME_TEXT,
            "planRef": SOME_TEXT,
            "amount": integer(*AMOUNTS),
            "currency": {**_CURRENCY, "pattern": "^({})?$".format(_CURRENCY["pattern"].strip("^$"))},
            "pricingTier": TEXT,
            "description": {**TEXT, "maxLength": 500},
        },
    ),
    "anyOf": [
        {"properties": {"purpose": {"const": PURPOSES[0]}}, "required": ["productRef", "planRef"]},
        {"properties": {"purpose": {"enum": list(PURPOSES[1:])}}, "required": ["purpose", "amount"]},
    ],
}
PROCESSING = record(_REFS, {"planRef": TEXT})
BOOTSTRAP = record(
    {"originUrl": _URL},
    {"name": SOME_TEXT, "mcpDomain": TEXT, **_PRODUCT, "isMcpPay": FLAG, "plans": _KEYED_PLANS, "tools": _TOOLS},
)
ENDPOINT = record({"url": {**_URL, "maxLength": MAX_URL_LENGTH}}, {"enabledEvents": array(SOME_TEXT)})
MCP_PLANS = record({}, {"plans": _KEYED_PLANS, "toolMapping": _TOOLS})
METER_EVENT = _METER_EVENT
METER_EVENTS = record({"events": array(_METER_EVENT, minItems=1)})
