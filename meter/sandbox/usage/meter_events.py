"""Meter events over REST: measurements under a meter's name, kept beside usage and billed by nobody."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from meter.sandbox.bookkeeping.usages import wrong_count
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import Answer, Call
from meter.sandbox.rest.errors import Issue, ProviderError, invalid
from meter.sandbox.rest.shapes import Reading, kind_of, wrong_type
from meter.sandbox.store import Store

METERS = ("requests", "api_requests", "api_calls", "tokens")
"""The provider's own meter, and the names that older texts give it."""


class MeterEvents:
    """The meter event routes."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    def single(self, call: Call) -> Answer:
        """`POST /v1/sdk/meter-events`."""
        issues: list[Issue] = []
        events = [_read(Reading(call.json(), (), issues))]
        self._keep(call, events, issues, "Customer not found")
        return Answer.of(200, {"success": True})

    def bulk(self, call: Call) -> Answer:
        """`POST /v1/sdk/meter-events/bulk`: all or none; there is no upper bound of events."""
        issues: list[Issue] = []
        body = Reading(call.json(), (), issues)
        name = "records" if "events" not in body.data and "records" in body.data else "events"
        found = body.data.get(name)
        if not isinstance(found, list):
            message = wrong_type((name,), "array", kind_of(found) if name in body.data else "undefined")
            raise invalid(issues or [message])
        if not found:
            raise invalid([wrong_count(name, 0)])
        events = [_read(Reading(event, (name, index), issues)) for index, event in enumerate(found)]
        self._keep(call, events, issues, "One or more customers not found")
        return Answer.of(200, {"success": True, "inserted": len(events)})

    def _keep(self, call: Call, events: Sequence["_Event"], issues: list[Issue], missing: str) -> None:
        if issues:
            raise invalid(issues)
        if any(event.meter_name not in METERS for event in events):
            raise ProviderError(400, "Invalid meter name or meter is archived")
        customers = self._catalogue[call.environment].customers
        if any(event.customer_ref not in customers for event in events):
            raise ProviderError(404, missing)
        self._store.keep_meter_events([(call.environment, call.now, *event) for event in events])


class _Event(NamedTuple):
    """One measurement, in the order of the table's columns."""

    meter_name: str
    customer_ref: str
    product_ref: str | None
    value: float
    timestamp: str | None
    properties: bytes | None


def _read(event: Reading) -> _Event:
    properties = event.mapping("properties")
    value = event.number("value")
    return _Event(
        meter_name=event.text("meterName", required=True, min_length=1) or "",
        customer_ref=event.text("customerRef", required=True, min_length=1) or "",
        product_ref=event.text("productRef"),
        value=1 if value is None else value,
        timestamp=event.text("timestamp"),
        properties=None if properties is None else msgspec.json.encode(properties),
    )
