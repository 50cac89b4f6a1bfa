"""Products over REST: changed, copied, deleted, searched."""

from contextlib import closing

from meter.sandbox.store import Store
from tests.sandboxes import CUSTOMER, LIMITS, PRODUCT, client_of, known, remaining

PRODUCTS = "/v1/sdk/products"


async def test_a_change_touches_what_it_names() -> None:
    """Only given fields change; null and unknown states are refused."""
    async with client_of() as client:
        sent = {"name": "a", "description": "d", "metadata": {"x": 1}}
        product = (await client.post(PRODUCTS, json=sent)).json()
        path = f"{PRODUCTS}/{product['reference']}"
        changed = await client.put(path, json={"name": "b", "status": "inactive"})
        assert (changed.status_code, changed.json()) == (200, {**product, "name": "b", "status": "inactive"})
        assert (await client.put(path, json={"status": "gone"})).status_code == 400
        assert (await client.put(path, json={"name": None})).status_code == 400
        assert (await client.put(f"{PRODUCTS}/prd_X", json={})).status_code == 404


async def test_a_clone_is_deep() -> None:
    """New references for product and plans, and no change of one shows in the other."""
    async with client_of() as client:
        product = (await client.post(PRODUCTS, json={"name": "a", "description": "d"})).json()
        path = f"{PRODUCTS}/{product['reference']}"
        plan = (await client.post(f"{path}/plans", json={"name": "Free", "freeUnits": 5})).json()
        answer = await client.post(f"{path}/clone", json={"name": "b"})
        copy = answer.json()
        assert (answer.status_code, copy["name"], copy["description"]) == (201, "b", "d")
        assert (copy["plans"][0]["freeUnits"], copy["plans"][0]["default"]) == (5, True)
        assert len({product["reference"], copy["reference"], plan["reference"], copy["plans"][0]["reference"]}) == 4
        await client.put(f"{path}/plans/{plan['reference']}", json={"freeUnits": 6})
        assert (await client.get(f"{PRODUCTS}/{copy['reference']}")).json() == copy
        assert (await client.post(f"{path}/clone")).json()["name"] == "a (copy)"


async def test_the_sandbox_deletes_for_good() -> None:
    """Product and plans are gone, also after a restart."""
    with closing(Store()) as store:
        async with client_of(store) as client:
            await known(client)
            answer = await client.delete(f"{PRODUCTS}/{PRODUCT}")
            assert (answer.status_code, answer.json()) == (200, {"success": True, "action": "deleted"})
        async with client_of(store) as client:
            assert (await client.get(f"{PRODUCTS}/{PRODUCT}")).status_code == 404
            assert (await client.get(f"{PRODUCTS}/{PRODUCT}/plans")).status_code == 404
            limits = await client.post(LIMITS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})
            assert limits.status_code == 404


async def test_live_data_is_kept() -> None:
    """A live product is hidden from the list, or deactivated once somebody is on it."""
    async with client_of(sent_key="sk_live_x") as client:
        unsold = (await client.post(PRODUCTS, json={"name": "a"})).json()["reference"]
        assert (await client.delete(f"{PRODUCTS}/{unsold}")).json()["action"] == "soft_deleted"
        assert (await client.get(PRODUCTS)).json()["total"] == 0
        assert (await client.get(f"{PRODUCTS}/{unsold}")).json()["status"] == "deleted"
        await client.post("/sandbox/customers", json={"reference": CUSTOMER, "environment": "live"})
        plan = {"freeUnits": 5}
        await client.post("/sandbox/products", json={"reference": PRODUCT, "environment": "live", "plan": plan})
        assert await remaining(client) == 5
        assert (await client.delete(f"{PRODUCTS}/{PRODUCT}")).json()["action"] == "deactivated"
        assert (await client.get(f"{PRODUCTS}/{PRODUCT}")).json()["status"] == "inactive"


async def test_the_list_is_searched_and_filtered() -> None:
    """By part of the name, by state, by the proxy flag; `total` counts what was found."""
    async with client_of() as client:
        for name, proxied in (("Alpha", True), ("beta", False), ("ALPHABET", False)):
            await client.post(PRODUCTS, json={"name": name, "isMcpPay": proxied})
        beta = (await client.get(PRODUCTS, params={"search": "BETA"})).json()["products"][0]["reference"]
        await client.put(f"{PRODUCTS}/{beta}", json={"status": "suspended"})
        for query, expected in (
            ({"search": "alpha"}, ["Alpha", "ALPHABET"]),
            ({"status": "suspended"}, ["beta"]),
            ({"isMcpPay": "true"}, ["Alpha"]),
            ({"search": "alpha", "isMcpPay": "false", "status": "active"}, ["ALPHABET"]),
        ):
            found = (await client.get(PRODUCTS, params=query)).json()
            assert ([product["name"] for product in found["products"]], found["total"]) == (expected, len(expected))
