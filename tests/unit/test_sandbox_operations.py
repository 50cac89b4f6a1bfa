"""The provider's own description of its operations, walked one by one.

`provider_operations.json` is that description without its prose: each operation's request, status and response.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.knobs import Knobs
from meter.sandbox.recording import Recorder
from meter.sandbox.routes import provider_routes
from meter.sandbox.store import Store
from tests.sandboxes import CUSTOMER, PRODUCT, bought, client_of, event, known, plan_of, remaining
from tests.schemas import faults

OPERATIONS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "provider_operations.json").read_text(encoding="utf-8")
)
INTENTS, BOOTSTRAP = "/v1/sdk/payment-intents", "/v1/sdk/products/mcp/bootstrap"
REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}
MEASURED = {"customerRef": CUSTOMER, "meterName": "requests", "properties": {"a": 1}}
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
    "POST /v1/sdk/usages": event(metadata={}, timestamp="2026-03-15T12:00:00Z"),
    "POST /v1/sdk/usages/bulk": {"events": [event(metadata={}), event()]},
    "POST /v1/sdk/user-info": REFS,
}
QUERIES = {"GET /v1/sdk/customers": {"reference": CUSTOMER}, "GET /v1/sdk/payment-method": {"customerRef": CUSTOMER}}


def named(operation: str) -> tuple[str, str]:
    """The operation with every parameter called alike, so that two descriptions can be compared."""
    method, path = operation.split()
    return method, re.sub(r"\{\w+\}", "{}", path)


@pytest.fixture
async def world() -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """A client, and references of everything that a path can name."""
    async with client_of() as client:
        await known(client)
        await remaining(client)
        paid = await plan_of(client, price=4900, billingCycle="monthly", limit=10)
        purchase = await bought(client, paid)
        session = await client.post("/v1/sdk/customers/customer-sessions", json=REFS)
        names = {"reference": CUSTOMER, "planRef": paid, "purchaseRef": purchase}
        intent = await client.post(INTENTS, json={**REFS, "planRef": paid}, headers={"idempotency-key": "1"})
        payment = intent.json()["processorPaymentId"]
        yield client, {**REFS, **names, "sessionId": session.json()["sessionId"], "processorPaymentId": payment}


@pytest.mark.parametrize("operation", OPERATIONS, ids=[each["operation"] for each in OPERATIONS])
async def test_an_operation_is_as_described(
    operation: dict[str, Any], world: tuple[httpx.AsyncClient, dict[str, str]]
) -> None:
    """Its request is taken; its status and response fit."""
    client, names = world
    name = operation["operation"]
    method, path = name.split()
    body = json.loads(json.dumps(BODIES.get(name, {})).replace("<paid>", names["planRef"]))
    if name.endswith("/reactivate"):
        await client.post(f"/v1/sdk/purchases/{names['purchaseRef']}/cancel")
    if path.startswith(f"{INTENTS}/"):
        names["reference"] = names["processorPaymentId"]
    if path.endswith("/mcp/plans"):
        made = await client.post(BOOTSTRAP, json=BODIES[f"POST {BOOTSTRAP}"])
        names["productRef"] = made.json()["product"]["reference"]
    answer = await client.request(
        method, path.format(**names), json=body or None, params=QUERIES.get(name), headers={"idempotency-key": "2"}
    )
    assert answer.status_code == operation["status"], answer.text
    assert list(faults(answer.json(), operation.get("response", {}))) == []
    # The description calls every field that holds an object required, which the real provider does not.
    if body:
        wrong = [fault for fault in faults(body, operation["request"]) if not fault.endswith(": missing")]
        assert wrong == []


def test_every_operation_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the description, each walked above."""
    described = {named(each["operation"]) for each in OPERATIONS}
    with closing(Store()) as store:
        catalogue = Catalogue(store)
        entries = provider_routes(Recorder(store, catalogue), store, catalogue, Knobs())
    there = {named(f"{method} {path}") for method, path, _ in entries}
    with capsys.disabled():
        print(f"\nsandbox: {len(described & there)} of {len(described)} operations implemented")  # noqa: T201  # wanted
    assert described <= there
    assert len(OPERATIONS) == len(described) == 41


async def test_limits_on_credits_are_as_described(world: tuple[httpx.AsyncClient, dict[str, str]]) -> None:
    """The longer answers of `/limits` and `/activate`: blocked, with a checkout; then with credits."""
    client, _ = world
    schemas = {each["operation"]: each["response"] for each in OPERATIONS if "response" in each}
    await client.post("/sandbox/customers", json={"reference": "cus_2"})
    plan = await plan_of(client, type="usage-based", creditsPerUnit=5, default=True)
    body = {"customerRef": "cus_2", "productRef": PRODUCT, "includeCheckoutSession": True}
    for _ in "12":
        answer = (await client.post("/v1/sdk/limits", json=body)).json()
        assert list(faults(answer, schemas["POST /v1/sdk/limits"])) == []
        assert answer["withinLimits"] is False
        assert answer["checkoutUrl"].endswith(answer["checkoutSessionId"])
        wish = {"customerRef": "cus_2", "productRef": PRODUCT, "planRef": plan}
        answer = (await client.post("/v1/sdk/activate", json=wish)).json()
        assert list(faults(answer, schemas["POST /v1/sdk/activate"])) == []
        assert answer["status"] == "topup_required"
