"""One limits question, as a product service asks it and as the provider is asked."""

from typing import NamedTuple


class Key(NamedTuple):
    """Questions with the same key have the same snapshot."""

    customer: str
    product: str
    meter: str


class Question(NamedTuple):
    """Names as the provider's own request has them; what was not given is not passed on."""

    customer: str
    product: str
    meter_name: str | None = None
    usage_type: str | None = None
    checkout_session: bool = False
    """The caller wants a checkout address when blocked: each such answer is made for him alone."""

    @property
    def key(self) -> Key:
        """`usageType` is the older name of `meterName`, which wins."""
        return Key(self.customer, self.product, self.meter_name or self.usage_type or "")

    def request(self) -> dict[str, object]:
        """The provider's request body."""
        request: dict[str, object] = {"customerRef": self.customer, "productRef": self.product}
        if self.meter_name is not None:
            request["meterName"] = self.meter_name
        if self.usage_type is not None:
            request["usageType"] = self.usage_type
        if self.checkout_session:
            request["includeCheckoutSession"] = True
        return request
