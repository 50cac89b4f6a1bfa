"""The conversations of the provider's examples, held with the demo data: over MCP in their own words, and over REST.

Each begins in a world of its own, as of the day of the examples.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from mcp import Client

from meter.sandbox.app import Sandbox
from meter.sandbox.store import Store
from tests.mcp_clients import NEW, OLD, call, mcp_client
from tests.sandboxes import FixedClock

JANE, BOB = "cus_A1B2C3D4", "cus_X7Y8Z9W0"
SUPPORT_BOT, PRO, PURCHASE = "prd_P9Q0R1S2", "pln_K5L6M7N8", "pur_T3U4V5W6"
DAY = datetime(2026, 2, 11, 10, 30, tzinfo=UTC).timestamp()

pytestmark = pytest.mark.parametrize("era", [OLD, NEW])


@asynccontextmanager
async def world(era: str) -> AsyncIterator[tuple[Client, httpx.AsyncClient]]:
    """The official client and one for REST, connected to the demo data of that day."""
    with closing(Store()) as store:
        sandbox = Sandbox(store, demo_data=True, now=FixedClock(DAY))
        rest = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=sandbox),
            base_url="http://sandbox",
            headers={"authorization": "Bearer sk_sandbox_test"},
        )
        async with mcp_client(sandbox, era=era) as client, rest:
            yield client, rest


def same(first: dict[str, Any], second: dict[str, Any], *but: str) -> bool:
    """Whether both are equal but for members that are new each time."""
    return {**first, **dict.fromkeys(but)} == {**second, **dict.fromkeys(but)}


async def test_create_a_customer(era: str) -> None:
    """Create a customer for jane@acme.com with the name "Jane Smith"."""
    sent = {"email": "jane@acme.com", "name": "Jane Smith"}
    async with world(era) as (client, _):
        jane = await call(client, "create_customer", sent)
    async with world(era) as (_, rest):
        twin = await rest.post("/v1/sdk/customers", json=sent)
    assert (jane["reference"], jane["email"], jane["name"]) == (JANE, "jane@acme.com", "Jane Smith")
    assert twin.status_code == 201
    assert same(jane, twin.json())


async def test_make_sure_that_there_is_a_customer(era: str) -> None:
    """Make sure we have a customer for bob@startup.io: he already exists, and no duplicate is created."""
    async with world(era) as (client, rest):
        before = (await rest.get("/sandbox/totals")).json()
        for _ in range(2):
            bob = await call(client, "ensure_customer", {"email": "bob@startup.io", "name": "Bob"})
            assert (bob["reference"], bob["email"], bob["created"]) == (BOB, "bob@startup.io", False)
        found = (await rest.get("/v1/sdk/customers", params={"email": "bob@startup.io"})).json()
        assert same({**bob, "created": None}, {**found, "created": None})
        assert (await rest.get("/sandbox/totals")).json()["usages"] == before["usages"]


async def test_create_a_product(era: str) -> None:
    """Create a product called "support-bot" for handling customer support."""
    sent = {"name": "support-bot", "description": "Customer support automation"}
    async with world(era) as (client, _):
        product = await call(client, "create_product", sent)
    async with world(era) as (_, rest):
        twin = (await rest.post("/v1/sdk/products", json=sent)).json()
    assert (product["reference"], product["name"]) == (SUPPORT_BOT, "support-bot")
    assert same(product, twin)


async def test_show_transaction_stats(era: str) -> None:
    """Show me transaction stats for the last 30 days: 84 = 79 + 3 + 2, and $3,871.00."""
    async with world(era) as (client, _):
        stats = await call(client, "get_transaction_stats", {"fromDate": "2026-01-11", "toDate": "2026-02-11"})
    figures = [stats[name] for name in ("totalTransactions", "successful", "failed", "refunded", "totalRevenue")]
    assert figures == [84, 79, 3, 2, 387_100]
    assert stats["currency"] == "USD"


async def test_how_much_revenue_has_a_product_generated(era: str) -> None:
    """How much revenue has the support-bot product generated? $892.50, over both ways to ask."""
    async with world(era) as (client, rest):
        balance = await call(client, "get_product_balance", {"productRef": SUPPORT_BOT})
        product = (await rest.get(f"/v1/sdk/products/{SUPPORT_BOT}")).json()
    assert (balance["productRef"], balance["balance"], balance["currency"]) == (SUPPORT_BOT, 89_250, "USD")
    assert (product["balance"], product["totalTransactions"]) == (89_250, balance["totalTransactions"])


async def test_what_purchases_does_a_customer_have(era: str) -> None:
    """Jane Smith has 1 active purchase: Pro, $49/month, since 2026-01-15, next billing 2026-02-15."""
    async with world(era) as (client, rest):
        found = await call(client, "get_purchases_by_customer", {"customerRef": JANE})
        twin = (await rest.get(f"/v1/sdk/purchases/customer/{JANE}")).json()
        other = await call(client, "get_purchases_by_customer", {"customerRef": JANE, "status": "cancelled"})
    assert found == twin
    assert other == {"purchases": []}
    (purchase,) = found["purchases"]
    plan = purchase["planSnapshot"]
    assert (plan["name"], plan["price"], plan["currency"], plan["billingCycle"]) == ("Pro", 4900, "USD", "monthly")
    assert (purchase["reference"], purchase["status"]) == (PURCHASE, "active")
    assert (purchase["startDate"][:10], purchase["nextBillingDate"][:10]) == ("2026-01-15", "2026-02-15")


async def test_cancel_that_renewal(era: str) -> None:
    """The customer requested a downgrade: access stays until 2026-02-15, then it ends."""
    reason = "Customer requested downgrade"
    async with world(era) as (client, rest):
        done = await call(client, "cancel_renewal", {"purchaseId": PURCHASE, "reason": reason})
        limits = {"customerRef": JANE, "productRef": SUPPORT_BOT}
        assert (await rest.post("/v1/sdk/limits", json=limits)).json()["withinLimits"] is True
    async with world(era) as (_, rest):
        twin = (await rest.post(f"/v1/sdk/purchases/{PURCHASE}/cancel", json={"reason": reason})).json()
    assert done == twin
    assert done["success"] is True
    purchase = done["purchase"]
    assert (purchase["status"], purchase["autoRenew"], purchase["cancellationReason"]) == ("active", False, reason)
    assert purchase["endDate"][:10] == "2026-02-15"


async def test_generate_a_checkout_link(era: str) -> None:
    """Generate a checkout link for Bob to purchase the Pro plan: paying under it puts him there."""
    sent = {"customerRef": BOB, "productRef": SUPPORT_BOT, "planRef": PRO}
    async with world(era) as (client, rest):
        session = await call(client, "create_checkout_session", sent)
        twin = (await rest.post("/v1/sdk/checkout-sessions", json=sent)).json()
        assert (await rest.get(session["checkoutUrl"])).status_code == 200
        (await rest.post(f"/sandbox/checkout-sessions/{session['sessionId']}", json={})).raise_for_status()
        bought = await call(client, "get_purchases_by_customer", {"customerRef": BOB, "status": "active"})
    assert set(session) == set(twin) == {"sessionId", "checkoutUrl"}
    assert session["sessionId"] in session["checkoutUrl"]
    assert [purchase["planSnapshot"]["reference"] for purchase in bought["purchases"]] == [PRO]


async def test_refund_25_dollars(era: str) -> None:
    """Refund $25 from transaction txn_D7E8F9G0; for a full refund of the rest, simply omit the amount."""
    sent = {"sourceTransactionId": "txn_D7E8F9G0", "amount": 2500, "reason": "Double charge"}
    async with world(era) as (client, _):
        refund = await call(client, "create_refund", sent)
        rest_of_it = await call(client, "create_refund", {"sourceTransactionId": "txn_D7E8F9G0"})
    assert (refund["reference"], refund["sourceTransactionRef"]) == ("txn_H1I2J3K4", "txn_D7E8F9G0")
    assert (refund["type"], refund["amount"], refund["currency"]) == ("refund", 2500, "USD")
    assert (refund["status"], refund["reason"]) == ("succeeded", "Double charge")
    assert rest_of_it["amount"] == 2400


USAGE = {
    "customerId": BOB,
    "productReference": SUPPORT_BOT,
    "actionType": "api_call",
    "units": 1,
    "outcome": "success",
}


async def test_record_a_successful_api_call(era: str) -> None:
    """Usage event recorded successfully: one more than before, under the names of REST."""
    async with world(era) as (client, rest):
        recorded = await call(client, "record_usage", USAGE)
        twin = (await rest.post("/v1/sdk/usages", json=USAGE)).json()
        row = (await rest.get("/sandbox/usages", params={"after": 87})).json()["usages"][0]
    assert recorded["success"] is True
    assert same(recorded, twin, "reference")
    assert row["reference"] == recorded["reference"]
    assert {name: row[name] for name in ("customerRef", "productRef", "actionType", "units", "outcome")} == {
        "customerRef": BOB,
        "productRef": SUPPORT_BOT,
        "actionType": "api_call",
        "units": 1,
        "outcome": "success",
    }


async def test_check_usage_limits(era: str) -> None:
    """The customer has used 87 of 100 free requests this period, and has 13 remaining."""
    sent = {"customerRef": BOB, "productRef": SUPPORT_BOT}
    async with world(era) as (client, rest):
        limits = await call(client, "check_limits", sent)
        twin = (await rest.post("/v1/sdk/limits", json=sent)).json()
    assert [limits[name] for name in ("used", "limit", "freeUnits", "remaining")] == [87, 100, 100, 13]
    assert limits["withinLimits"] is True
    assert {name: limits[name] for name in twin} == twin


async def test_record_5_usage_events(era: str) -> None:
    """5 usage events recorded successfully, and 8 requests remain."""
    events = [{**USAGE, "outcome": outcome} for outcome in ("success",) * 4] + [{"customerId": BOB}]
    events[-1] |= {"actionType": "api_call", "units": 1, "productReference": SUPPORT_BOT}
    async with world(era) as (client, rest):
        recorded = await call(client, "record_bulk_usage", {"events": events})
        limits = await call(client, "check_limits", {"customerRef": BOB, "productRef": SUPPORT_BOT})
        twin = (await rest.post("/v1/sdk/usages/bulk", json={"events": events})).json()
    assert (recorded["inserted"], len(recorded["results"])) == (twin["inserted"], len(twin["results"])) == (5, 5)
    assert (limits["used"], limits["remaining"]) == (92, 8)


async def test_generate_a_billing_portal_link(era: str) -> None:
    """Generate a billing portal link for Jane: the page behind it shows her purchase."""
    async with world(era) as (client, rest):
        session = await call(client, "create_customer_session", {"customerRef": JANE})
        twin = (await rest.post("/v1/sdk/customers/customer-sessions", json={"customerRef": JANE})).json()
        page = await rest.get(session["customerUrl"])
    assert set(session) == set(twin) == {"sessionId", "customerUrl"}
    assert page.status_code == 200
    assert "Pro" in page.text
