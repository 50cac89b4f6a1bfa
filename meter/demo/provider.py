"""The sandbox from the demo's side: creates customers and products, slows it down, and reads what was billed."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from meter.demo.events import World
from meter.demo.processes import SECRET_KEY
from meter.demo.reconciliation import Billed
from meter.errors import CommandFailed, Unavailable

CUSTOMERS = 100
PRODUCTS = ("search", "render", "mail")
BULK_ROUTE = "/v1/sdk/usages/bulk"
_HEADERS = {"Authorization": f"Bearer {SECRET_KEY}"}
_PAGE_ROWS = 10_000
_CREATED_AT_ONCE = 8


class Provider:
    """The sandbox at `url`; use as an asynchronous context manager."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)

    async def __aenter__(self) -> "Provider":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def answers(self) -> bool:
        """Whether the sandbox is up."""
        try:
            await self.totals()
        except Unavailable:
            return False
        return True

    async def create_world(self) -> World:
        """Customers and products without limits, and one customer with a product of which it gets little."""
        gate = asyncio.Semaphore(_CREATED_AT_ONCE)

        async def customer(number: int) -> str:
            async with gate:
                body = {"email": f"customer-{number}@example.com", "name": f"Customer {number}"}
                return await self._create("/v1/sdk/customers", body)

        limited, *customers = await asyncio.gather(*(customer(number) for number in range(CUSTOMERS + 1)))
        products = [await self._create("/v1/sdk/products", {"name": name}) for name in PRODUCTS]
        return World(customers, products, limited, await self._create("/v1/sdk/products", {"name": "free tier"}))

    async def offer_free_plan(self, product: str, free_units: int) -> None:
        """Make the product's default plan a free one with `free_units` a month."""
        plan = {"name": "Free", "type": "recurring", "price": 0, "freeUnits": free_units, "default": True}
        await self._create(f"/v1/sdk/products/{product}/plans", plan)

    async def slow_down(self, seconds: float) -> None:
        """Every bulk call takes `seconds` longer; 0 ends it."""
        if seconds:
            fault = {"route": BULK_ROUTE, "kind": "delay", "seconds": seconds, "rate": 1}
            await self._call("PUT", "/sandbox/faults", [fault])
        else:
            await self._call("DELETE", "/sandbox/faults")

    async def totals(self) -> Mapping[str, int]:
        """`usages`, `units`, `duplicates`, `requests`."""
        totals: Mapping[str, int] = await self._call("GET", "/sandbox/totals")
        return totals

    async def rows(self) -> list[tuple[str, Billed]]:
        """Every row that was billed, with its key."""
        rows: list[tuple[str, Billed]] = []
        after = 0
        while True:
            page = await self._call("GET", f"/sandbox/usages?after={after}&limit={_PAGE_ROWS}")
            rows += [
                (str(row.get("idempotencyKey")), Billed(row["customerRef"], row["units"])) for row in page["usages"]
            ]
            if not page["usages"]:
                return rows
            after = page["next"]

    async def _create(self, path: str, body: Mapping[str, object]) -> str:
        return str((await self._call("POST", path, body))["reference"])

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        try:
            answer = await self._client.request(method, path, json=body, headers=_HEADERS)
        except httpx.TransportError as fault:
            raise Unavailable(f"the sandbox does not answer to {method} {path}: {fault!r}") from fault
        if answer.is_error:
            raise CommandFailed(f"the sandbox answers {answer.status_code} to {method} {path}: {answer.text[:300]}")
        return answer.json() if answer.content else None
