"""The sandbox's pages in headless Chromium, clicked as a person would."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome

from meter.sandbox.app import Sandbox
from meter.sandbox.server import running
from meter.sandbox.store import Store
from tests.browsers import chromium, complaints, press, seen
from tests.sandboxes import CUSTOMER, PRODUCT, USAGES, bought, event, known, plan_of, remaining
from tests.waiting import eventually

REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests; each opens pages of a sandbox of its own."""
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
async def client(browser: Chrome) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox that is served on this machine and knows CUSTOMER and PRODUCT."""
    headers = {"authorization": "Bearer sk_sandbox_test"}
    with closing(Store()) as store:
        async with running(Sandbox(store)) as url, httpx.AsyncClient(base_url=url, headers=headers) as started:
            await known(started)
            yield started
            await asyncio.to_thread(browser.get, "about:blank")  # asks the sandbox for nothing more


async def created(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """The answer to a POST that succeeds."""
    answer: dict[str, Any] = (await client.post(path, json=body)).raise_for_status().json()
    return answer


async def purchases(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """What the provider's REST interface says CUSTOMER has."""
    found: list[dict[str, Any]] = (await client.get(f"/v1/sdk/purchases/customer/{CUSTOMER}")).json()["purchases"]
    return found


async def shows(browser: Chrome, *texts: str) -> None:
    """Return once the page shows all of them; a click returns before what it leads to is there."""

    def there() -> bool:
        shown = seen(browser)
        return all(text in shown for text in texts)

    await eventually(lambda: asyncio.to_thread(there), 60, f"the page shows {texts}")


async def test_a_checkout_link_completes_the_purchase(browser: Chrome, client: httpx.AsyncClient) -> None:
    """It shows plan and price; a click on Pay, and REST knows of an active purchase that was paid."""
    plan = await plan_of(client, name="Pro & more", price=4900, billingCycle="monthly", limit=70)
    session = await created(client, "/v1/sdk/checkout-sessions", **REFS, planRef=plan, returnUrl=f"{client.base_url}/")
    await asyncio.to_thread(browser.get, session["checkoutUrl"])
    assert browser.title == "Checkout"
    await shows(browser, "Pro & more", "49.00 USD a month", CUSTOMER)
    assert (await purchases(client), await remaining(client)) == ([], 10)
    await asyncio.to_thread(press, browser, "Pay")
    await shows(browser, "The purchase is complete")
    mine = [(each["planRef"], each["status"], "paidAt" in each) for each in await purchases(client)]
    assert mine[-1] == (plan, "active", True)
    assert await remaining(client) == 70
    assert complaints(browser) == []
    await asyncio.to_thread(browser.find_element("link text", "Back").click)
    await shows(browser, "usages kept")


async def test_a_customer_link_shows_and_cancels(browser: Chrome, client: httpx.AsyncClient) -> None:
    """It shows plan and usage; a click on Cancel, and REST knows that the purchase will not be renewed."""
    await bought(client, await plan_of(client, name="Pro", price=4900, billingCycle="monthly", limit=70))
    await created(client, USAGES, **event(units=3))
    session = await created(client, "/v1/sdk/customers/customer-sessions", customerRef=CUSTOMER)
    await asyncio.to_thread(browser.get, session["customerUrl"])
    await shows(browser, "Pro", "3 of 70 units used")
    await asyncio.to_thread(press, browser, "Cancel")
    await shows(browser, "Cancelled")
    (purchase,) = await purchases(client)
    assert (purchase["status"], purchase["autoRenew"], "cancelledAt" in purchase) == ("active", False, True)
    assert f"Cancelled, ends {purchase['endDate'][:10]}" in seen(browser)
    assert browser.find_elements("tag name", "button") == []
    assert complaints(browser) == []


async def test_the_page_shows_what_was_recorded_and_goes_on_doing_so(
    browser: Chrome, client: httpx.AsyncClient
) -> None:
    """Names stay text whatever is in them; what comes later appears without a reload."""
    await created(client, "/sandbox/customers", reference="cus_2", name="<b>Bob</b><script>document.title=1</script>")
    await created(client, USAGES, **event(units=1234, idempotencyKey="first"))
    await asyncio.to_thread(browser.get, str(client.base_url))
    await shows(browser, CUSTOMER, PRODUCT, "<b>Bob</b>", "1,234", "first")
    assert browser.title == "Provider sandbox"
    await created(client, USAGES, **event(units=4321, idempotencyKey="second"))
    await shows(browser, "second", "4,321")
    assert complaints(browser) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_follow_the_readers_colours(browser: Chrome, client: httpx.AsyncClient, scheme: str) -> None:
    """Dark on light or light on dark, as the system is set, and wide tables never widen the page."""
    await created(client, USAGES, **event(idempotencyKey="k" * 256))
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    await asyncio.to_thread(browser.get, str(client.base_url))
    script = (
        "const c = getComputedStyle(document.body); return [c.color, c.backgroundColor].map(x => +x.match(/\\d+/)[0])"
    )
    text, ground = browser.execute_script(script)
    assert (text < ground) == (scheme == "light")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
