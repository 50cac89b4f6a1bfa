"""Requests made from the provider's own description: what it allows, the sandbox takes, and answers as described.

Examples are the same in every run. The provider insists on a few things that its description leaves unsaid, or says in
prose; they are here, one by one.
"""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from tests.operations import OPERATIONS, Operation, world_of
from tests.sandboxes import CUSTOMER, PRODUCT
from tests.schemas import closed, faults

WITH_BODY = [operation for operation in OPERATIONS if "request" in operation]
TEXTS: dict[str, Any] = {
    "customerRef": lambda _: CUSTOMER,
    "productRef": lambda _: PRODUCT,
    "email": lambda text: f"{len(text)}@example.com",
    "originUrl": lambda _: "https://origin.example/mcp",
    "meterName": lambda _: "requests",
    "currency": lambda _: "USD",
    "timestamp": lambda _: "2026-03-14T12:00:00.000Z",
    "idempotencyKey": lambda text: text[:100],
    "description": lambda text: text[:250],
}
NUMBERS: dict[str, Any] = {
    **dict.fromkeys(("freeUnits", "limit"), lambda number: int(min(abs(number), 2**53))),
    "creditsPerUnit": lambda number: int(min(abs(number) + 1, 10**9)),
    **dict.fromkeys(
        ("price", "basePrice", "setupFee", "trialDays", "accessExpiryDays", "maxActiveUsers"),
        lambda number: min(abs(number), 10.0**12),
    ),
    "value": lambda number: max(min(number, 1e300), -1e300),
}
"""Under these names only some of what the description allows is good: how to make it so."""
NEEDED = {
    "POST /v1/sdk/activate": {"planRef"},
    "POST /v1/sdk/checkout-sessions": {"productRef"},
    "PATCH /v1/sdk/customers/{reference}": {"externalRef", "metadata"},
    "POST /v1/sdk/customers": {"externalRef"},
    "POST /v1/sdk/payment-intents": {"productRef", "planRef", "amount"},
    "PUT /v1/sdk/products/{productRef}": {"name"},
    "POST /v1/sdk/products/{productRef}/clone": {"name"},
    "POST /v1/sdk/products/{productRef}/plans": {"name"},
    "POST /v1/sdk/products/mcp/bootstrap": {"name"},
    "POST /v1/sdk/meter-events/bulk": {"events"},
    "POST /v1/sdk/usages/bulk": {"events"},
}
"""What an operation must be given, and neither empty nor null, although the schema does not say so."""


def good(value: Any) -> Any:
    """The body with what the description leaves unsaid."""
    if isinstance(value, list):
        return [good(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _good(name, each) for name, each in value.items()}


def _good(name: str, value: Any) -> Any:
    """The value under its name; metadata may have anything at all under any name."""
    if isinstance(value, str) and name in TEXTS:
        return TEXTS[name](value)
    if isinstance(value, int | float) and name in NUMBERS:
        return NUMBERS[name](value)
    return good(value)


def bodies(operation: Operation) -> Any:
    """A strategy of bodies that the description allows."""
    content = {"application/json": {"schema": closed(operation["request"])}}
    described = {"requestBody": {"required": True, "content": content}, "responses": {"200": {"description": "OK"}}}
    document = {"openapi": "3.0.3", "info": {"title": "", "version": ""}, "paths": {"/": {"post": described}}}
    (found,) = schemathesis.openapi.from_dict(document).get_all_operations()
    assert isinstance(found, Ok)
    return found.ok().as_strategy(generation_mode=GenerationMode.POSITIVE).map(lambda case: good(case.body))


@pytest.mark.parametrize("operation", WITH_BODY, ids=[each["operation"] for each in WITH_BODY])
def test_what_the_description_allows_is_taken(operation: Operation) -> None:
    """The described status and response, or a refusal that no schema could foresee: what does not exist, or not fit."""
    name = operation["operation"]

    @given(body=bodies(operation))
    @settings(
        max_examples=8,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    def holds(body: Any) -> None:
        async def run() -> None:
            async with world_of() as world:
                answer = await world.ask(name, body)
                if answer.status_code == operation["status"]:
                    assert list(faults(answer.json(), operation.get("response", {}))) == []
                    return
                assert answer.status_code in {400, 404, 409}, answer.text
                issues = answer.json().get("errors", [])
                unforeseen = {issue["path"][-1] for issue in issues if issue["code"] != "custom"}
                assert unforeseen <= NEEDED.get(name, set()), answer.text

        asyncio.run(run())

    holds()
