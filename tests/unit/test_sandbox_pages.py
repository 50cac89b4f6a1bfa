"""The pages behind the links, read as a browser without scripts would."""

import re
from typing import Any

import httpx
import pytest

from tests.sandboxes import (
    CUSTOMER,
    LIMITS,
    PRODUCT,
    USAGES,
    FixedClock,
    bought,
    client_of,
    event,
    known,
    plan_of,
    remaining,
)

REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}


async def link(client: httpx.AsyncClient, path: str, **body: Any) -> str:
    """The link that a new session answers with."""
    answer = await client.post(f"/v1/sdk/{path}", json={**REFS, **body})
    answer.raise_for_status()
    return next(str(value) for name, value in answer.json().items() if name.endswith("Url"))


async def click(client: httpx.AsyncClient, page: httpx.Response) -> httpx.Response:
    """Press the page's only button."""
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page.text)
    return await client.post(page.url.join(action.replace("&amp;", "&")))


async def test_a_checkout_link_completes_the_purchase() -> None:
    """It says what it costs; one click and the customer is on the plan, a second one changes nothing."""
    async with client_of() as client:
        await known(client, free_units=10)
        plan = await plan_of(client, name="<Pro>", price=4900, limit=70)
        url = await link(client, "checkout-sessions", planRef=plan, returnUrl="http://127.0.0.1/back?a=1&b=2")
        page = await client.get(url)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "&lt;Pro&gt;" in page.text
        assert "49.00 USD" in page.text
        assert "<Pro>" not in page.text
        assert await remaining(client) == 10
        paid = await click(client, page)
        assert (paid.status_code, 'href="http://127.0.0.1/back?a=1&amp;b=2"' in paid.text) == (200, True)
        assert await remaining(client) == 70
        again = await click(client, page)
        assert (again.status_code, again.text) == (200, paid.text)
        assert len((await client.get("/sandbox/transactions")).json()["transactions"]) == 1
        assert (await client.get(url)).status_code == 410


async def test_a_customer_link_shows_and_cancels() -> None:
    """Plan and usage; after the click it runs on to its end, and there is no button any more."""
    async with client_of() as client:
        await known(client)
        await bought(client, await plan_of(client, name="Pro", price=4900, limit=70))
        await client.post(USAGES, json=event(units=3))
        page = await client.get(await link(client, "customers/customer-sessions"))
        assert re.findall(r"Pro<|3 of 70 units used", page.text) == ["Pro<", "3 of 70 units used"]
        after = await click(client, page)
        assert "Cancelled, ends 2026-04-15" in after.text
        assert (await click(client, page)).text == after.text, "a double click"
        assert "<form" not in after.text
        assert await remaining(client) == 67


@pytest.mark.parametrize(
    ("plan", "button"),
    [
        ({"creditsPerUnit": 100}, "Pay"),
        ({"price": 900, "limit": 50}, "Pay"),
        ({"creditsPerUnit": 9, "billingModel": "post-paid"}, ""),
    ],
)
async def test_the_link_of_limits_activates_the_plan(plan: dict[str, Any], button: str) -> None:
    """Through the checkout if it must be paid; then the customer may go on, and there is nothing to activate."""
    async with client_of() as client:
        await known(client, free_units=None)
        await plan_of(client, name="Use", type="usage-based", default=True, **plan)
        confirmation = (await client.post(LIMITS, json=REFS)).json()["confirmationUrl"]
        page = await client.get(confirmation)
        assert "Activate" in page.text
        page = await click(client, page)
        if button:
            (checkout,) = re.findall(r'href="(/customer/checkout[^"]+)"', page.text)
            page = await client.get(checkout)
            assert button in page.text
            await click(client, page)
        assert (await client.post(LIMITS, json=REFS)).json()["withinLimits"] is True
        page = await client.get(confirmation)
        assert ("Use" in page.text, "Activate" in page.text) == (True, False)


@pytest.mark.parametrize(
    ("plan", "offer"),
    [
        ({"price": 900, "limit": 2, "default": False}, "49.00 USD"),
        ({"price": 4900, "limit": 2, "default": False}, "99.00 USD"),
        ({"price": 19900, "limit": 2, "default": False}, "199.00 USD"),
        ({}, "9.00 USD"),
        ({"type": "usage-based", "creditsPerUnit": 100, "default": False}, "100,000 credits"),
    ],
)
async def test_a_link_for_who_is_blocked_sells_what_lets_them_go_on(plan: dict[str, Any], offer: str) -> None:
    """The next dearer plan or credits, never again the plan whose units are used up, unless there is no other."""
    async with client_of() as client:
        await known(client, free_units=2)
        for price in {900, 4900, 9900} - {plan.get("price")}:
            await plan_of(client, name="Dearer", price=price, limit=70, default=False)
        if plan:
            await bought(client, await plan_of(client, **plan))
        await remaining(client)
        await client.post(USAGES, json=event(units=2))
        url = await link(client, "limits", includeCheckoutSession=True)
        page = await client.get(url)
        assert re.findall(r'class="price">([\d.,]+ \w+)', page.text) == [offer]
        await click(client, page)
        assert await remaining(client) > 0 or offer == "199.00 USD"


async def test_a_link_opens_nobody_elses_purchases() -> None:
    """A purchase of another customer is not found, nor is one kind of session good for the other."""
    async with client_of() as client:
        await known(client)
        purchase = await bought(client, await plan_of(client, price=4900))
        await client.post("/sandbox/customers", json={"reference": "cus_2"})
        url = await link(client, "customers/customer-sessions", customerRef="cus_2")
        assert "There are none." in (await client.get(url)).text
        assert (await client.post(f"{url}&purchase={purchase}")).status_code == 404
        assert (await client.get(url.replace("manage", "checkout"))).status_code == 404


async def test_a_link_goes_out_after_fifteen_minutes() -> None:
    """410, for pages and clicks."""
    clock = FixedClock()
    async with client_of(clock=clock) as client:
        await known(client)
        urls = [await link(client, path) for path in ("checkout-sessions", "customers/customer-sessions")]
        clock.now += 900
        for url in urls:
            assert (await client.get(url)).status_code == 410
            assert (await client.post(url)).status_code == 410
