"""Which of the provider's paths leads to which route."""

from meter.sandbox.activation import Activation
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.credits import Credits
from meter.sandbox.customers import Customers
from meter.sandbox.limits import Limits
from meter.sandbox.plans import Plans
from meter.sandbox.products import Products
from meter.sandbox.purchases import Purchases
from meter.sandbox.purchasing import Purchasing
from meter.sandbox.recording import Recorder
from meter.sandbox.store import Store
from meter.sandbox.striking import Route
from meter.sandbox.usages import read_bulk, read_one

Entry = tuple[str, str, Route]
"""Method, path, route."""


def provider_routes(recorder: Recorder, store: Store, catalogue: Catalogue) -> list[Entry]:
    """Everything under `/v1/sdk`; of two paths that match, the first is taken."""
    purchases = Purchases(store, catalogue)
    credit = Credits(store, catalogue)
    return [
        ("POST", "/v1/sdk/usages", Route(recorder.single, read_one)),
        ("POST", "/v1/sdk/usages/bulk", Route(recorder.bulk, read_bulk)),
        ("POST", "/v1/sdk/limits", Route(Limits(store, catalogue).check)),
        *_customers(Customers(catalogue, purchases)),
        ("GET", "/v1/sdk/customers/{reference}/balance", Route(credit.balance)),
        ("POST", "/v1/sdk/customers/{reference}/credits", Route(credit.grant)),
        *_products(Products(catalogue)),
        *_plans(Plans(catalogue)),
        ("POST", "/v1/sdk/activate", Route(Activation(store, catalogue, Purchasing(catalogue)).activate)),
        *_purchases(purchases),
    ]


def _customers(customers: Customers) -> list[Entry]:
    return [
        ("POST", "/v1/sdk/customers", Route(customers.create)),
        ("GET", "/v1/sdk/customers", Route(customers.find)),
        ("GET", "/v1/sdk/customers/{reference}", Route(customers.get)),
        ("PATCH", "/v1/sdk/customers/{reference}", Route(customers.change)),
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


def _purchases(purchases: Purchases) -> list[Entry]:
    return [
        ("GET", "/v1/sdk/purchases", Route(purchases.page)),
        ("GET", "/v1/sdk/purchases/customer/{customer}", Route(purchases.of_customer)),
        ("GET", "/v1/sdk/purchases/product/{product}", Route(purchases.of_product)),
        ("GET", "/v1/sdk/purchases/{purchase}", Route(purchases.get)),
        ("POST", "/v1/sdk/purchases/{purchase}/cancel", Route(purchases.cancel)),
        ("POST", "/v1/sdk/purchases/{purchase}/reactivate", Route(purchases.reactivate)),
    ]
