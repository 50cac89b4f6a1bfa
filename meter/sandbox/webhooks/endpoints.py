"""Webhook endpoints over REST: where events go, and which events there are."""

import secrets
from typing import Any

import httpx

from meter.sandbox.rest.calls import LIVE, SANDBOX, Answer, Call
from meter.sandbox.rest.errors import Issue, ProviderError, invalid, iso
from meter.sandbox.rest.references import new_reference
from meter.sandbox.rest.shapes import Reading, custom
from meter.sandbox.webhooks.outbox import CONFIGURED_PREFIX, Endpoint, Outbox, envelope
from meter.sandbox.webhooks.samples import samples

MAX_URL_LENGTH = 2048
EVENT_TYPES = {
    "purchase": (
        ("purchase.created", "There is a new purchase"),
        ("purchase.activated", "A purchase gives access"),
        ("purchase.updated", "A purchase has changed in a way that no other event covers"),
        ("purchase.renewed", "A further billing period has begun"),
        ("purchase.reactivated", "A cancellation was taken back"),
        ("purchase.plan_changed", "A purchase is on another plan"),
        ("purchase.trial_converted", "A trial has become a purchase"),
        ("purchase.suspended", "A purchase gives no access until a problem is resolved"),
        ("purchase.past_due", "A payment is late"),
        ("purchase.cancellation_scheduled", "A purchase will end with its period"),
        ("purchase.cancelled", "A purchase was ended"),
        ("purchase.expired", "A purchase has expired"),
        ("purchase.refunded", "A purchase was refunded in full"),
    ),
    "customer.credit": (
        ("customer.credit.topped_up", "A customer has bought credits"),
        ("customer.credit.granted", "A customer was given credits"),
        ("customer.credit.adjusted", "Credits were changed by hand"),
        ("customer.credit.debited", "Usage has cost credits"),
        ("customer.credit.low_balance", "Few credits are left"),
        ("customer.credit.exhausted", "No credits are left"),
    ),
    "usage": (("usage.reset", "An allowance begins again"),),
    "payment": (
        ("payment.succeeded", "A payment has succeeded"),
        ("payment.failed", "A payment has failed"),
        ("payment.refunded", "A payment was refunded"),
    ),
    "checkout_session": (
        ("checkout_session.created", "A checkout link was created"),
        ("checkout_session.completed", "A checkout was paid"),
    ),
    "customer": (
        ("customer.created", "There is a new customer"),
        ("customer.updated", "A customer's details have changed"),
    ),
    "product": (
        ("product.updated", "A product has changed"),
        ("product.archived", "A product is no longer sold"),
        ("plan.updated", "A plan has changed, for those who buy it from now on"),
        ("plan.archived", "A plan is no longer sold"),
    ),
}
"""Every event that the sandbox sends, by category, with what it tells."""


class Endpoints:
    """The endpoint routes."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def create(self, call: Call) -> Answer:
        """`POST /v1/webhook_endpoints`: the only answer that tells the secret."""
        body = Reading(call.json())
        url = body.text("url", required=True, min_length=1, max_length=MAX_URL_LENGTH)
        events = _types(body)
        if url is not None and not is_url(url):
            body.issues.append(custom(("url",), "Invalid url"))
        body.done()
        secret = f"whsec_{secrets.token_hex(16)}"
        endpoint = Endpoint(new_reference("we"), call.environment, url or "", secret, events, call.now)
        self._outbox.keep(endpoint)
        return Answer.of(201, {**shown(endpoint), "secret": secret})

    def page(self, call: Call) -> Answer:
        """`GET /v1/webhook_endpoints`: the oldest first."""
        found = [endpoint for endpoint in self._outbox.endpoints.values() if endpoint.environment == call.environment]
        return Answer.of(200, {"webhookEndpoints": [shown(endpoint) for endpoint in found], "total": len(found)})

    def get(self, call: Call) -> Answer:
        """`GET /v1/webhook_endpoints/{endpoint}`."""
        return Answer.of(200, shown(self._endpoint(call)))

    def delete(self, call: Call) -> Answer:
        """`DELETE /v1/webhook_endpoints/{endpoint}`: what was on its way is given up."""
        self._outbox.forget(self._endpoint(call).reference)
        return Answer.of(200, {"success": True})

    def event_types(self, _: Call) -> Answer:
        """`GET /v1/sdk/webhooks/event-types`: categories with their events."""
        return Answer.of(
            200,
            [
                {"category": category, "events": [{"type": name, "description": told} for name, told in events]}
                for category, events in EVENT_TYPES.items()
            ],
        )

    def event_schema(self, call: Call) -> Answer:
        """`GET /v1/sdk/webhooks/event-schema?type=`: an event as it would come; without a type a new purchase."""
        wanted = call.query.get("type") or "purchase.created"
        found = samples(call.environment, call.now).get(wanted)
        if found is None:
            raise ProviderError(404, f"There is no event {wanted}")
        return Answer.of(200, envelope(found, "evt_000000000000000000000000"))

    def _endpoint(self, call: Call) -> Endpoint:
        reference = call.params["endpoint"]
        endpoint = self._outbox.endpoints.get(reference)
        if endpoint is None or endpoint.environment != call.environment:
            raise ProviderError(404, f"Webhook endpoint with reference {reference} not found")
        return endpoint


def configured(url: str, secret: str, events: tuple[str, ...], now: float) -> list[Endpoint]:
    """The endpoint that the configuration names, in each environment; none without a URL."""
    names = {SANDBOX: f"{CONFIGURED_PREFIX}_SANDBOX", LIVE: f"{CONFIGURED_PREFIX}_LIVE"}
    return [Endpoint(name, environment, url, secret, events, now) for environment, name in names.items() if url]


def is_url(text: str) -> bool:
    """Whether events can be sent there."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def shown(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as the provider answers it, without its secret."""
    return {
        "id": endpoint.reference,
        "url": endpoint.url,
        "enabledEvents": endpoint.events,
        "status": "enabled" if endpoint.disabled_at is None else "disabled",
        "createdAt": iso(endpoint.created_at),
    }


def _types(body: Reading) -> tuple[str, ...]:
    """The types that are wanted; those that the sandbox never sends are fine."""
    given = body.array("enabledEvents") or []
    issues: list[Issue] = [
        custom(("enabledEvents", index), "Expected the name of an event type")
        for index, name in enumerate(given)
        if not isinstance(name, str) or not name
    ]
    if issues:
        raise invalid([*body.issues, *issues])
    return tuple(given)
