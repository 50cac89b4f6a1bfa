"""The page at `/`, read as a browser without scripts would."""

import json
import re
from html import unescape

import httpx

from tests.sandboxes import BULK, CUSTOMER, PRODUCT, USAGES, bought, client_of, event, known, plan_of, remaining

MARKUP = """<script>alert(1)</script>"'&"""


def section(page: httpx.Response, name: str) -> str:
    """The HTML of one environment."""
    return page.text.split(f'<section id="{name}">', 1)[1].split("</section>", 1)[0]


async def test_the_page_shows_what_was_recorded() -> None:
    """Totals with commas, customers, purchases with their usage, products with plans, the latest usages first."""
    async with client_of() as client:
        await known(client, free_units=70)
        await bought(client, await plan_of(client, name="Pro", price=4900, limit=5000))
        await client.post(USAGES, json=event(units=1234, idempotencyKey="first"))
        await client.post(USAGES, json=event(units=1, idempotencyKey="second", outcome="fail"))
        await client.post(USAGES, json=event(units=1, idempotencyKey="second", outcome="fail"))
        page = await client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    figures = re.findall(r"<b>([^<]*)</b><span>([^<]*)</span>", page.text)
    assert figures == [("2", "usages kept"), ("1,235", "units"), ("1", "repeats answered"), ("4", "requests")]
    shown = section(page, "sandbox")
    for text in (
        CUSTOMER,
        f"{CUSTOMER}@example.com",
        PRODUCT,
        "Pro (49.00 USD, 5,000 units)",
        "Free (70 units, default)",
    ):
        assert text in shown
    assert '<progress value="1234" max="5000">' in shown
    assert shown.index("second") < shown.index("first")


async def test_payments_and_webhooks_are_shown() -> None:
    """Money with its sum, refunds as what goes back; endpoints without their secrets, and what is on its way."""
    async with client_of() as client:
        await known(client)
        payment = {"customerRef": CUSTOMER, "productRef": PRODUCT, "reference": "txn_1", "amount": 4900}
        (await client.post("/sandbox/transactions", json=payment)).raise_for_status()
        made = await client.post("/v1/webhook_endpoints", json={"url": "http://127.0.0.1:9/hook?<a>"})
        await bought(client, await plan_of(client, name="Pro"))
        shown = section(await client.get("/"), "sandbox")
    assert all(
        text in shown for text in ("49.00 USD in all", "txn_1", "succeeded", "http://127.0.0.1:9/hook?&lt;a&gt;")
    )
    assert all(text in shown for text in ("purchase.created", "waiting", made.json()["id"]))
    assert made.json()["secret"] not in shown


async def test_the_two_environments_are_shown_apart() -> None:
    """What a live key wrote is not among the sandbox's, nor the other way round."""
    async with client_of() as client:
        await known(client)
        await client.post(USAGES, json=event(idempotencyKey="of-sandbox"))
        live = {"authorization": "Bearer sk_live_x"}
        await client.post(USAGES, json=event(customerRef="cus_live", idempotencyKey="of-live"), headers=live)
        page = await client.get("/")
    assert ("of-sandbox" in section(page, "sandbox"), "of-live" in section(page, "sandbox")) == (True, False)
    assert ("of-sandbox" in section(page, "live"), "of-live" in section(page, "live")) == (False, True)


async def test_markup_in_names_stays_text() -> None:
    """Whatever field it came through; and the browser is told to run nothing but the page's own script."""
    async with client_of() as client:
        await client.post("/sandbox/customers", json={"reference": f"cus_{MARKUP}", "name": MARKUP})
        product = {"reference": f"prd_{MARKUP}", "name": MARKUP, "plan": {"name": MARKUP, "freeUnits": 5}}
        await client.post("/sandbox/products", json=product)
        refs = {"customerRef": f"cus_{MARKUP}", "productRef": f"prd_{MARKUP}"}
        assert (await client.post("/v1/sdk/limits", json=refs)).json()["remaining"] == 5
        await client.post(USAGES, json={**refs, "idempotencyKey": MARKUP})
        fault = {"route": f"/v1/sdk/{MARKUP}", "kind": "status", "status": 500, "message": MARKUP}
        await client.put("/sandbox/faults", json=[fault])
        page = await client.get("/")
        portal = await client.get(
            (await client.post("/v1/sdk/customers/customer-sessions", json=refs)).json()["customerUrl"]
        )
        lost = await client.get("/customer/manage", params={"id": MARKUP})
    assert (page.status_code, portal.status_code, lost.status_code) == (200, 200, 404)
    for shown in (page, portal, lost):
        assert MARKUP in unescape(shown.text)
        assert "<script>alert" not in shown.text
        assert "default-src 'none'" in shown.headers["content-security-policy"]


async def test_faults_that_are_on_are_shown_with_how_often_they_struck() -> None:
    """Route, kind, how, and the number; without faults it says so."""
    async with client_of() as client:
        assert "No faults are on" in (await client.get("/")).text
        await client.put("/sandbox/faults", json=[{"route": BULK, "kind": "status", "status": 503, "count": 3}])
        await client.post(BULK, json={"events": [event()]})
        shown = (await client.get("/")).text.split("Faults that are on", 1)[1].split("</table>", 1)[0]
    assert all(text in shown for text in (BULK, "count 3, status 503", '<td class="number">1</td>'))


async def test_an_empty_sandbox_tells_the_first_steps() -> None:
    """Typed as they stand, they show something; a host that is no host gets nowhere near a shell."""
    async with client_of() as client:
        page = await client.get("/", headers={"host": "127.0.0.1:9999"})
        assert "$(" not in (await client.get("/", headers={"host": "$(reboot)"})).text
        steps = unescape(page.text.split("<pre>", 1)[1].split("</pre>", 1)[0]).replace("\\\n", "")
        calls = re.findall(r"-d '([^']+)' +http://127\.0\.0\.1:9999(/\S+)", steps)
        assert len(calls) == 3
        for body, path in calls:
            (await client.post(path, json=json.loads(body))).raise_for_status()
        shown = (await client.get("/")).text
    assert "cus_A1B2C3D4" in section(page=httpx.Response(200, text=shown), name="sandbox")
    assert "<pre>" not in shown


async def test_only_this_machine_sees_the_page() -> None:
    """It shows data without a key."""
    async with client_of(peer="192.0.2.1") as client:
        assert (await client.get("/")).status_code == 403


async def test_only_the_latest_are_shown() -> None:
    """A sandbox with many rows has a short page that says how many there are."""
    async with client_of() as client:
        await known(client, free_units=None)
        assert await remaining(client) == 0
        for start in (0, 1000):
            events = [event(idempotencyKey=f"k{start + index}") for index in range(1000)]
            await client.post(BULK, json={"events": events})
        page = await client.get("/")
    assert "the latest 25 of 2,000" in page.text
    assert re.findall(r'title="(k\d+)"', page.text) == [f"k{number}" for number in range(1999, 1974, -1)]
