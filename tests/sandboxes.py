"""A sandbox in this process, as tests want it: known customer and product, a clock that stands still, no network."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx

from meter.sandbox.app import Sandbox
from meter.sandbox.faults.fault_list import Fault
from meter.sandbox.knobs import Knobs
from meter.sandbox.store import Store

NOW = 1_773_576_000.0
"""2026-03-15T12:00:00Z."""

CUSTOMER, PRODUCT = "cus_0VXPU8NE", "prd_P9Q0R1S2"
USAGES, BULK, LIMITS = "/v1/sdk/usages", "/v1/sdk/usages/bulk", "/v1/sdk/limits"


class FixedClock:
    """Unix seconds that change when the test says so."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def client_of(
    store: Store | None = None,
    *,
    key: str | None = None,
    faults: Sequence[Fault] = (),
    clock: FixedClock | None = None,
    sent_key: str = "sk_sandbox_test",
    peer: str = "127.0.0.1",
    knobs: Knobs = Knobs(),  # noqa: B008  # frozen
    demo_data: bool = False,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox of its own, or of one over a `store` that stays open."""
    with closing(Store(counting=knobs.counting, key_life_seconds=knobs.key_life_seconds or None)) as empty:
        now = clock or FixedClock()
        sandbox = Sandbox(store or empty, key=key, faults=faults, knobs=knobs, now=now, demo_data=demo_data)
        transport = httpx.ASGITransport(app=sandbox, client=(peer, 40000))
        headers = {"authorization": f"Bearer {sent_key}"} if sent_key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=headers) as client:
            yield client


async def known(client: httpx.AsyncClient, free_units: int | None = 10, environment: str = "sandbox") -> None:
    """Give the sandbox CUSTOMER and PRODUCT with a free default plan of `free_units` a month (None: no plan)."""
    plan = {} if free_units is None else {"plan": {"freeUnits": free_units}}
    here = {"environment": environment}
    (await client.post("/sandbox/customers", json={"reference": CUSTOMER, **here})).raise_for_status()
    (await client.post("/sandbox/products", json={"reference": PRODUCT, **plan, **here})).raise_for_status()


async def plan_of(client: httpx.AsyncClient, **fields: Any) -> str:
    """Give PRODUCT a plan with `fields`; its reference."""
    answer = await client.post(f"/v1/sdk/products/{PRODUCT}/plans", json={"name": "Plan", **fields})
    answer.raise_for_status()
    return str(answer.json()["reference"])


async def bought(client: httpx.AsyncClient, plan: str, environment: str = "sandbox") -> str:
    """A purchase of CUSTOMER, as if it had just been paid for; its reference."""
    body = {"customerRef": CUSTOMER, "productRef": PRODUCT, "planRef": plan, "environment": environment}
    answer = await client.post("/sandbox/purchases", json=body)
    answer.raise_for_status()
    return str(answer.json()["reference"])


async def activate(client: httpx.AsyncClient, plan: str) -> dict[str, Any]:
    """The answer to CUSTOMER's wish to be on a plan of PRODUCT."""
    body = {"customerRef": CUSTOMER, "productRef": PRODUCT, "planRef": plan}
    answer = await client.post("/v1/sdk/activate", json=body)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


async def grant(client: httpx.AsyncClient, credits_given: int, key: str = "") -> dict[str, Any]:
    """Give CUSTOMER credits; the answer."""
    headers = {"idempotency-key": key} if key else {}
    path = f"/v1/sdk/customers/{CUSTOMER}/credits"
    answer = await client.post(path, json={"credits": credits_given, "reason": "test"}, headers=headers)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


async def balance(client: httpx.AsyncClient) -> int:
    """The credits of CUSTOMER."""
    answer = await client.get(f"/v1/sdk/customers/{CUSTOMER}/balance")
    answer.raise_for_status()
    return int(answer.json()["credits"])


async def remaining(client: httpx.AsyncClient) -> int:
    """What `/limits` says is left for CUSTOMER and PRODUCT."""
    answer = await client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})
    answer.raise_for_status()
    left = answer.json()["remaining"]
    assert isinstance(left, int)
    return left


def event(**fields: Any) -> dict[str, Any]:
    """A successful unit of CUSTOMER and PRODUCT, with `fields` in place of its own."""
    return {"customerRef": CUSTOMER, "productRef": PRODUCT, **fields}


async def rows(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Every usage that the sandbox keeps, page by page."""
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        page = (await client.get("/sandbox/usages", params={"after": after, "limit": 100})).json()
        if not page["usages"]:
            return found
        found += page["usages"]
        after = page["next"]


async def tool_answer(
    client: httpx.AsyncClient, name: str, arguments: dict[str, Any], **headers: str
) -> httpx.Response:
    """The answer to one call of a tool, as it came over HTTP."""
    params = {"name": name, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return await client.post("/mcp", json=body, headers={"accept": "application/json", **headers})


async def tool(client: httpx.AsyncClient, name: str, arguments: dict[str, Any], **headers: str) -> dict[str, Any]:
    """The data of a successful call of a tool."""
    answer = await tool_answer(client, name, arguments, **headers)
    answer.raise_for_status()
    envelope = answer.json()["result"]["structuredContent"]
    assert envelope["success"], envelope
    data: dict[str, Any] = envelope["data"]
    return data
