"""Customers, products and plans over REST."""

from contextlib import closing
from typing import Any

import pytest

from meter.sandbox.store import Store
from tests.sandboxes import CUSTOMER, PRODUCT, bought, client_of, known, plan_of, remaining

CUSTOMERS, PRODUCTS = "/v1/sdk/customers", "/v1/sdk/products"


async def test_a_customer_is_found_by_every_name() -> None:
    """By reference in the path, and by reference, externalRef or email (any case) in the query."""
    async with client_of() as client:
        sent = {"email": "Ann@b.example", "name": "Ann", "externalRef": "auth_1", "metadata": {"a": 1}}
        created = await client.post(CUSTOMERS, json=sent)
        customer = created.json()
        assert created.status_code == 201
        assert customer["reference"].startswith("cus_")
        assert (customer["email"], customer["name"], customer["externalRef"]) == ("Ann@b.example", "Ann", "auth_1")
        for query in ({"reference": customer["reference"]}, {"externalRef": "auth_1"}, {"email": "ann@B.example"}):
            assert (await client.get(CUSTOMERS, params=query)).json() == customer


@pytest.mark.parametrize("query", [{}, {"email": "a@b.example", "externalRef": "x"}])
async def test_one_name_must_be_asked_for(query: dict[str, str]) -> None:
    """None or two: 400 in the documented words."""
    async with client_of() as client:
        answer = await client.get(CUSTOMERS, params=query)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Must provide exactly one of reference, externalRef, or email"


async def test_unknown_customers_are_not_found() -> None:
    """404 with the words that clients search for."""
    async with client_of() as client:
        by_path = (await client.get(f"{CUSTOMERS}/cus_X")).json()
        by_query = (await client.get(CUSTOMERS, params={"email": "x@b.example"})).json()
    assert by_path == {"statusCode": 404, "message": "Customer with reference cus_X not found", "error": "Not Found"}
    assert by_query["message"] == "Customer not found"


async def test_an_email_exists_once() -> None:
    """A second one is refused (409, "already exists"), or linked when it brings the first externalRef."""
    async with client_of() as client:
        first = (await client.post(CUSTOMERS, json={"email": "a@b.example"})).json()
        refused = await client.post(CUSTOMERS, json={"email": "A@b.example"})
        assert refused.status_code == 409
        assert "email" in refused.json()["message"]
        assert "already exists" in refused.json()["message"]
        linked = (await client.post(CUSTOMERS, json={"email": "a@b.example", "externalRef": "auth_1"})).json()
        assert (linked["reference"], linked["externalRef"]) == (first["reference"], "auth_1")
        other = {"email": "a@b.example", "externalRef": "auth_2"}
        assert (await client.post(CUSTOMERS, json=other)).status_code == 409
        taken = {"email": "c@b.example", "externalRef": "auth_1"}
        assert (await client.post(CUSTOMERS, json=taken)).status_code == 409


@pytest.mark.parametrize("body", [{}, {"email": "nobody"}, {"email": 5}, {"email": "a@b.example", "metadata": []}, []])
async def test_a_customer_needs_an_email(body: Any) -> None:
    """Anything else is a failed validation."""
    async with client_of() as client:
        answer = await client.post(CUSTOMERS, json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")


async def test_a_change_of_a_customer_touches_what_it_names() -> None:
    """Other fields stay, externalRef among them; the new names find the customer, the old ones no longer do."""
    async with client_of() as client:
        sent = {"email": "a@b.example", "name": "Ann", "externalRef": "auth_1"}
        customer = (await client.post(CUSTOMERS, json=sent)).json()
        path = f"{CUSTOMERS}/{customer['reference']}"
        changed = await client.patch(path, json={"email": "c@b.example", "telephone": "1"})
        assert (changed.status_code, changed.json()) == (200, {**customer, "email": "c@b.example"})
        assert (await client.get(CUSTOMERS, params={"externalRef": "auth_1"})).json() == changed.json()
        assert (await client.get(CUSTOMERS, params={"email": "a@b.example"})).status_code == 404
        assert (await client.patch(path, json={"name": ""})).json()["name"] == ""


async def test_a_change_must_leave_names_unique() -> None:
    """Another one's email or externalRef is a 409, and so is a second externalRef; nothing changes then."""
    async with client_of() as client:
        await client.post(CUSTOMERS, json={"email": "a@b.example", "externalRef": "auth_1"})
        customer = (await client.post(CUSTOMERS, json={"email": "c@b.example"})).json()
        path = f"{CUSTOMERS}/{customer['reference']}"
        for body in ({"email": "A@b.example"}, {"externalRef": "auth_1"}):
            answer = await client.patch(path, json={"name": "x", **body})
            assert (answer.status_code, "already exists" in answer.json()["message"]) == (409, True)
        assert (await client.get(path)).json() == customer
        assert (await client.patch(path, json={"externalRef": "auth_2"})).json()["externalRef"] == "auth_2"
        assert (await client.patch(path, json={"externalRef": "auth_3"})).status_code == 409


@pytest.mark.parametrize("body", [{"email": "nobody"}, {"email": None}, {"externalRef": ""}, {"metadata": 1}, []])
async def test_a_change_is_checked_like_a_new_customer(body: Any) -> None:
    """A failed validation; an unknown customer is a 404."""
    async with client_of() as client:
        customer = (await client.post(CUSTOMERS, json={"email": "c@b.example"})).json()
        answer = await client.patch(f"{CUSTOMERS}/{customer['reference']}", json=body)
        assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
        assert (await client.patch(f"{CUSTOMERS}/cus_X", json={})).status_code == 404


async def test_a_customer_shows_what_is_in_force() -> None:
    """The purchases that give access now, and no others."""
    async with client_of() as client:
        await known(client)
        await remaining(client)
        paid = await bought(client, await plan_of(client, price=4900))
        (purchase,) = (await client.get(f"{CUSTOMERS}/{CUSTOMER}")).json()["purchases"]
        assert (purchase["reference"], purchase["productName"], purchase["status"]) == (paid, PRODUCT, "active")


async def test_products_are_listed_in_pages() -> None:
    """`limit` is held between 1 and 100, `total` counts all; nonsense means the default."""
    async with client_of() as client:
        for number in range(3):
            answer = await client.post(PRODUCTS, json={"name": f"p{number}", "categories": ["x"]})
            assert answer.status_code == 201
        page = (await client.get(PRODUCTS, params={"limit": 1, "offset": 1})).json()
        assert ([product["name"] for product in page["products"]], page["total"]) == (["p1"], 3)
        assert (await client.get(PRODUCTS, params={"limit": 1000})).json()["limit"] == 100
        assert (await client.get(PRODUCTS, params={"limit": "x"})).json()["limit"] == 50


async def test_the_first_plan_is_the_default_until_another_is() -> None:
    """A product has at most one default plan."""
    async with client_of() as client:
        product = (await client.post(PRODUCTS, json={"name": "support-bot"})).json()["reference"]
        plans = f"{PRODUCTS}/{product}/plans"
        assert (await client.post(plans, json={"name": "Free", "freeUnits": 10.0})).status_code == 201
        await client.post(plans, json={"name": "Pro", "price": 4900, "billingCycle": "monthly"})
        await client.post(plans, json={"name": "Other", "default": True})
        found = (await client.get(plans)).json()["plans"]
        assert [(plan["name"], plan["default"], plan["requiresPayment"]) for plan in found] == [
            ("Free", False, False),
            ("Pro", False, True),
            ("Other", True, False),
        ]
        assert len((await client.get(f"{PRODUCTS}/{product}")).json()["plans"]) == 3


@pytest.mark.parametrize("path", [f"{PRODUCTS}/prd_X", f"{PRODUCTS}/prd_X/plans"])
async def test_unknown_products_are_not_found(path: str) -> None:
    """404 that names the reference."""
    async with client_of() as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["message"]) == (404, "Product with reference prd_X not found")


async def test_everything_is_found_again_in_its_order() -> None:
    """A second sandbox over the same store knows the first one's products, plans, customers, in order of creation."""
    with closing(Store()) as store:
        async with client_of(store) as client:
            for name in ("z", "a", "m"):
                product = (await client.post(PRODUCTS, json={"name": name})).json()
                await client.post(f"{PRODUCTS}/{product['reference']}/plans", json={"name": "Free"})
            await client.post(CUSTOMERS, json={"email": "a@b.example"})
            await client.post(CUSTOMERS, json={"email": "a@b.example", "externalRef": "auth_1"})
            before = (await client.get(PRODUCTS)).json()
        async with client_of(store) as client:
            assert (await client.get(PRODUCTS)).json() == before
            assert [product["name"] for product in before["products"]] == ["z", "a", "m"]
            assert (await client.get(CUSTOMERS, params={"externalRef": "auth_1"})).json()["email"] == "a@b.example"
