"""Who sells: the merchant, the platform's settings and payment methods, as far as a sandbox has any."""

from meter.sandbox.bookkeeping.payments import CURRENCY
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import LIVE, Answer, Call
from meter.sandbox.rest.errors import ProviderError


def merchant(_: Call) -> Answer:
    """`GET /v1/sdk/merchant`."""
    answer = {
        "displayName": "Sandbox",
        "legalName": "Sandbox Merchant",
        "country": "US",
        "defaultCurrency": CURRENCY,
        "supportEmail": "support@sandbox.example",
        "statementDescriptor": "SANDBOX",
    }
    return Answer.of(200, answer)


def platform_config(call: Call) -> Answer:
    """`GET /v1/sdk/platform-config`: a key that no payment processor takes."""
    return Answer.of(200, {"stripePublishableKey": publishable_key(call.environment)})


def publishable_key(environment: int) -> str:
    """What a page would show to the payment processor."""
    return "pk_live_none" if environment == LIVE else "pk_test_none"


class PaymentMethods:
    """The payment method route."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def get(self, call: Call) -> Answer:
        """`GET /v1/sdk/payment-method?customerRef=`: nobody has a card here."""
        if call.query.get("customerRef", "") not in self._catalogue[call.environment].customers:
            raise ProviderError(404, "Customer not found")
        return Answer.of(200, {"kind": "none"})
