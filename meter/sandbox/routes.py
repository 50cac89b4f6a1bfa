"""Which of the provider's paths leads to which route."""

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.faults.striker import Route
from meter.sandbox.knobs import Knobs
from meter.sandbox.sales.activation import Activation
from meter.sandbox.sales.credits import Credits
from meter.sandbox.sales.customers import Customers
from meter.sandbox.sales.intents import Intents
from meter.sandbox.sales.mcp_products import McpProducts
from meter.sandbox.sales.merchant import PaymentMethods, merchant, platform_config
from meter.sandbox.sales.new_purchases import NewPurchases
from meter.sandbox.sales.plans import Plans
from meter.sandbox.sales.products import Products
from meter.sandbox.sales.purchases import Purchases
from meter.sandbox.sales.sessions import Sessions
from meter.sandbox.store import Store
from meter.sandbox.usage.limits import Limits
from meter.sandbox.usage.meter_events import MeterEvents
from meter.sandbox.usage.recording import Recorder
from meter.sandbox.usage.user_info import UserInfo
from meter.sandbox.webhooks.endpoints import Endpoints

Entry = tuple[str, str, Route]
"""Method, path, route."""


def provider_routes(recorder: Recorder, store: Store, catalogue: Catalogue, knobs: Knobs) -> list[Entry]:
    """Everything under `/v1/sdk`; of two paths that match, the first is taken."""
    purchases = Purchases(store, catalogue)
    sessions = Sessions(catalogue, purchases)
    limits, credit = Limits(store, catalogue, sessions, knobs.unlimited_remaining), Credits(store, catalogue)
    activation = Activation(store, catalogue, NewPurchases(catalogue), sessions, knobs)
    return [
        ("POST", "/v1/sdk/usages", Route(recorder.single, recorder.read_one)),
        ("POST", "/v1/sdk/usages/bulk", Route(recorder.bulk, recorder.read_bulk, many=True)),
        ("POST", "/v1/sdk/limits", Route(limits.check)),
        *_sessions(sessions),
        *_customers(Customers(catalogue, purchases)),
        ("GET", "/v1/sdk/customers/{reference}/balance", Route(credit.balance)),
        ("POST", "/v1/sdk/customers/{reference}/credits", Route(credit.grant)),
        *_mcp_products(McpProducts(catalogue)),
        *_products(Products(catalogue)),
        *_plans(Plans(catalogue)),
        ("POST", "/v1/sdk/activate", Route(activation.activate)),
        *_purchases(purchases),
        *_intents(Intents(store, catalogue)),
        ("POST", "/v1/sdk/user-info", Route(UserInfo(store, catalogue, limits, sessions).get)),
        *_others(MeterEvents(store, catalogue), PaymentMethods(catalogue)),
        *_webhooks(Endpoints(store.outbox)),
    ]


def _sessions(sessions: Sessions) -> list[Entry]:
    return [
        ("POST", "/v1/sdk/checkout-sessions", Route(sessions.create_checkout)),
        ("POST", "/v1/sdk/customers/customer-sessions", Route(sessions.create_customer)),
        ("GET", "/v1/sdk/customers/customer-sessions/{session}", Route(sessions.get_customer)),
    ]


def _others(meter_events: MeterEvents, payment_methods: PaymentMethods) -> list[Entry]:
    return [
        ("POST", "/v1/sdk/meter-events", Route(meter_events.single)),
        ("POST", "/v1/sdk/meter-events/bulk", Route(meter_events.bulk)),
        ("GET", "/v1/sdk/merchant", Route(merchant)),
        ("GET", "/v1/sdk/platform-config", Route(platform_config)),
        ("GET", "/v1/sdk/payment-method", Route(payment_methods.get)),
    ]


def _webhooks(endpoints: Endpoints) -> list[Entry]:
    return [
        ("POST", "/v1/webhook_endpoints", Route(endpoints.create)),
        ("GET", "/v1/webhook_endpoints", Route(endpoints.page)),
        ("GET", "/v1/webhook_endpoints/{endpoint}", Route(endpoints.get)),
        ("DELETE", "/v1/webhook_endpoints/{endpoint}", Route(endpoints.delete)),
        ("GET", "/v1/sdk/webhooks/event-types", Route(endpoints.event_types)),
        ("GET", "/v1/sdk/webhooks/event-schema", Route(endpoints.event_schema)),
    ]


def _customers(customers: Customers) -> list[Entry]:
    return [
        ("POST", "/v1/sdk/customers", Route(customers.create)),
        ("GET", "/v1/sdk/customers", Route(customers.find)),
        ("GET", "/v1/sdk/customers/{reference}", Route(customers.get)),
        ("PATCH", "/v1/sdk/customers/{reference}", Route(customers.change)),
    ]


def _mcp_products(products: McpProducts) -> list[Entry]:
    return [
        ("POST", "/v1/sdk/products/mcp/bootstrap", Route(products.bootstrap)),
        ("PUT", "/v1/sdk/products/{reference}/mcp/plans", Route(products.configure)),
    ]


def _products(products: Products) -> list[Entry]:
    return [
        ("POST", "/v1/sdk/products", Route(products.create)),
        ("GET", "/v1/sdk/products", Route(products.page)),
        ("GET", "/v1/sdk/products/{reference}", Route(products.get)),
        ("PUT", "/v1/sdk/products/{reference}", Route(products.change)),
        ("DELETE", "/v1/sdk/products/{reference}", Route(products.delete)),
        ("POST", "/v1/sdk/products/{reference}/clone", Route(products.clone)),
    ]


def _plans(plans: Plans) -> list[Entry]:
    return [
        ("POST", "/v1/sdk/products/{reference}/plans", Route(plans.create)),
        ("GET", "/v1/sdk/products/{reference}/plans", Route(plans.page)),
        ("GET", "/v1/sdk/products/{reference}/plans/{plan}", Route(plans.get)),
        ("PUT", "/v1/sdk/products/{reference}/plans/{plan}", Route(plans.change)),
        ("DELETE", "/v1/sdk/products/{reference}/plans/{plan}", Route(plans.delete)),
    ]


def _intents(intents: Intents) -> list[Entry]:
    return [
        ("POST", "/v1/sdk/payment-intents", Route(intents.create)),
        ("GET", "/v1/sdk/payment-intents", Route(intents.page)),
        ("GET", "/v1/sdk/payment-intents/{reference}", Route(intents.get)),
        ("POST", "/v1/sdk/payment-intents/{reference}/process", Route(intents.process)),
    ]


def _purchases(purchases: Purchases) -> list[Entry]:
    return [
        ("GET", "/v1/sdk/purchases", Route(purchases.page)),
        ("GET", "/v1/sdk/purchases/customer/{customer}", Route(purchases.of_customer)),
        ("GET", "/v1/sdk/purchases/product/{product}", Route(purchases.of_product)),
        ("GET", "/v1/sdk/purchases/{purchase}", Route(purchases.get)),
        ("POST", "/v1/sdk/purchases/{purchase}/cancel", Route(purchases.cancel)),
        ("POST", "/v1/sdk/purchases/{purchase}/reactivate", Route(purchases.reactivate)),
    ]
