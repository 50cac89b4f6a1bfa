"""The provider's own description of its operations, and a world in which each of them can be called.

`provider_operations.json` is that description without its prose: each operation's request, status and response.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from meter.sandbox.store import Store
from tests.sandboxes import CUSTOMER, PRODUCT, bought, client_of, event, known, plan_of, remaining

Operation = dict[str, Any]
OPERATIONS: list[Operation] = json.loads(
    (Path(__file__).parent / "provider_operations.json").read_text(encoding="utf-8")
)
NAMES = [each["operation"] for each in OPERATIONS]
INTENTS, BOOTSTRAP = "/v1/sdk/payment-intents", "/v1/sdk/products/mcp/bootstrap"
REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}
MEASURED = {"customerRef": CUSTOMER, "meterName": "requests", "properties": {"a": 1}}
SENT_AT = "2026-03-15T12:00:00Z"
BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/sdk/activate": {**REFS, "planRef": "<paid>"},
    "POST /v1/sdk/checkout-sessions": {**REFS, "planRef": "<paid>", "returnUrl": "http://127.0.0.1/"},
    "POST /v1/sdk/customers": {"email": "b@b.example", "name": "Bob", "metadata": {}},
    "PATCH /v1/sdk/customers/{reference}": {"name": "Ann", "externalRef": "auth_1"},
    "POST /v1/sdk/customers/customer-sessions": REFS,
    "POST /v1/sdk/limits": REFS,
    "POST /v1/sdk/meter-events": MEASURED,
    "POST /v1/sdk/meter-events/bulk": {"events": [MEASURED, {**MEASURED, "value": 1.5}]},
    "POST /v1/sdk/payment-intents": {**REFS, "planRef": "<paid>", "purpose": "product"},
    "POST /v1/sdk/payment-intents/{processorPaymentId}/process": {**REFS, "planRef": "<paid>"},
    "PUT /v1/sdk/products/{productRef}/mcp/plans": {
        "plans": [{"key": "pro", "name": "Pro", "price": 900, "currency": "USD", "billingCycle": "monthly"}],
        "toolMapping": [{"name": "search", "planKeys": ["pro"]}],
    },
    "POST /v1/sdk/products/mcp/bootstrap": {
        "originUrl": "https://origin.example/mcp",
        "metadata": {},
        "plans": [{"key": "pro", "name": "Pro", "price": 900, "currency": "USD"}],
        "tools": [{"name": "search", "planKeys": ["pro"]}, {"name": "help", "noPlan": True}],
    },
    "POST /v1/sdk/products": {"name": "bot", "config": {"validityPeriod": 30}, "metadata": {}},
    "PUT /v1/sdk/products/{productRef}": {"description": "d", "config": {}, "metadata": {}},
    "POST /v1/sdk/products/{productRef}/clone": {"name": "copy"},
    "POST /v1/sdk/products/{productRef}/plans": {"name": "P", "price": 5, "type": "one-time"},
    "PUT /v1/sdk/products/{productRef}/plans/{planRef}": {"name": "Q", "features": {}, "limits": {}, "metadata": {}},
    "POST /v1/sdk/purchases/{purchaseRef}/cancel": {"reason": "because"},
    "POST /v1/sdk/usages": event(metadata={}, timestamp=SENT_AT),
    "POST /v1/sdk/usages/bulk": {"events": [event(metadata={}, timestamp=SENT_AT), event(timestamp=SENT_AT)]},
    "POST /v1/sdk/user-info": REFS,
}
QUERIES = {"GET /v1/sdk/customers": {"reference": CUSTOMER}, "GET /v1/sdk/payment-method": {"customerRef": CUSTOMER}}


def named(operation: str) -> tuple[str, str]:
    """The operation with every parameter called alike, so that two descriptions can be compared."""
    method, path = operation.split()
    return method, re.sub(r"\{\w+\}", "{}", path)


@dataclass(frozen=True, slots=True)
class World:
    """A client of a sandbox that knows everything that a path can name; `names` are its references."""

    client: httpx.AsyncClient
    names: Mapping[str, str]

    def path(self, operation: str, **names: str) -> str:
        """The operation's path, with `names` in place of what there is."""
        path = operation.split()[1]
        here = dict(self.names)
        if path.startswith(f"{INTENTS}/"):
            here["reference"] = here["processorPaymentId"]
        if path.endswith("/mcp/plans"):
            here["productRef"] = here["mcpProductRef"]
        return path.format(**{**here, **names})

    def body(self, operation: str) -> dict[str, Any]:
        """A good body for the operation; empty when it takes none."""
        found: dict[str, Any] = json.loads(
            json.dumps(BODIES.get(operation, {})).replace("<paid>", self.names["planRef"])
        )
        return found

    async def ask(
        self, operation: str, body: Any = None, path: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The answer to the operation; without `body` and `path` those that are good."""
        return await self.client.request(
            operation.split()[0],
            path or self.path(operation),
            json=(self.body(operation) if body is None else body) or None,
            params=QUERIES.get(operation),
            headers={"idempotency-key": "2", **(headers or {})},
        )


@asynccontextmanager
async def world_of(store: Store | None = None, environment: str = "sandbox", **options: Any) -> AsyncIterator[World]:
    """A world in the environment of the key; `options` are those of `client_of`."""
    async with client_of(store, **options) as client:
        await known(client, environment=environment)
        await remaining(client)
        paid = await plan_of(client, price=4900, billingCycle="monthly", limit=10)
        purchase = await bought(client, paid, environment)
        session = await client.post("/v1/sdk/customers/customer-sessions", json=REFS)
        intent = await client.post(INTENTS, json={**REFS, "planRef": paid}, headers={"idempotency-key": "1"})
        mcp = await client.post(BOOTSTRAP, json=BODIES[f"POST {BOOTSTRAP}"])
        names = {"reference": CUSTOMER, "planRef": paid, "purchaseRef": purchase}
        made = {
            "sessionId": session.json()["sessionId"],
            "processorPaymentId": intent.json()["processorPaymentId"],
            "mcpProductRef": mcp.json()["product"]["reference"],
        }
        yield World(client, {**REFS, **names, **made})
