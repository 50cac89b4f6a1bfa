"""The controls: totals, rows, reset, known references; for this machine only."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from meter.sandbox.bookkeeping.usages import Usage
from meter.sandbox.rest.calls import SANDBOX
from meter.sandbox.store import Store
from tests.sandboxes import BULK, CUSTOMER, NOW, PRODUCT, USAGES, client_of, event, known, remaining, rows


async def test_totals_add_up() -> None:
    """Rows kept, all their units whatever the outcome, repeats, and every request to the provider's routes."""
    async with client_of() as client:
        events = [event(idempotencyKey="a", units=2), event(idempotencyKey="a"), event(units=3, outcome="fail")]
        await client.post(BULK, json={"events": events})
        await client.post(USAGES, json={})
        assert (await client.get("/sandbox/totals")).json() == {
            "usages": 2,
            "units": 5,
            "duplicates": 1,
            "requests": 2,
        }


async def test_usages_come_in_pages() -> None:
    """Walking with `next` visits every row once, in order; the end is an empty page that stays where it is."""
    async with client_of() as client:
        for start in (0, 3):
            events = [event(idempotencyKey=f"k{start + number}") for number in range(3)]
            await client.post(BULK, json={"events": events})
        seen, after = [], 0
        while page := (await client.get("/sandbox/usages", params={"after": after, "limit": 4})).json():
            if not page["usages"]:
                break
            seen += [row["idempotencyKey"] for row in page["usages"]]
            after = page["next"]
        assert seen == [f"k{number}" for number in range(6)]
        assert page["next"] == after


@pytest.mark.parametrize("query", [{"after": "x"}, {"limit": "-1"}, {"after": "1" * 40}, {"limit": "²"}])
async def test_a_page_that_makes_no_sense_is_refused(query: dict[str, str]) -> None:
    """400 with the name of the parameter."""
    async with client_of() as client:
        answer = await client.get("/sandbox/usages", params=query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["message"]


async def test_reset_forgets_everything() -> None:
    """Rows, keys, counts, customers and faults are gone; a reference given out before is never given again."""
    async with client_of() as client:
        await known(client)
        await remaining(client)
        before = (await client.post(USAGES, json=event(idempotencyKey="k"))).json()
        await client.put("/sandbox/faults", json=[{"route": USAGES, "kind": "malformed"}])
        assert (await client.post("/sandbox/reset")).status_code == 200
        assert (await client.get("/sandbox/totals")).json() == {"usages": 0, "units": 0, "duplicates": 0, "requests": 0}
        assert (await client.get(f"/v1/sdk/customers/{CUSTOMER}")).status_code == 404
        after = (await client.post(USAGES, json=event(idempotencyKey="k"))).json()
        assert after["reference"] != before["reference"]
        assert len(await rows(client)) == 1
        await client.post("/sandbox/reset")
        await known(client, free_units=10)
        assert await remaining(client) == 10


def test_a_reference_is_not_given_again_after_reset_and_restart(tmp_path: Path) -> None:
    """Whoever wrote a reference down finds nothing under it, rather than something else."""
    data = tmp_path / "sandbox.db"
    rows_given = []
    for _ in range(2):
        with closing(Store(data)) as store:
            rows_given += [place.row for place in store.record(SANDBOX, [Usage(CUSTOMER), Usage(CUSTOMER)], NOW)]
            store.reset()
    assert len(set(rows_given)) == 4


async def test_a_customer_given_again_loses_the_names_of_before() -> None:
    """The last version counts, under its own email alone."""
    async with client_of() as client:
        for email in ("old@b.example", "new@b.example"):
            await client.post("/sandbox/customers", json={"reference": CUSTOMER, "email": email})
        assert (await client.get("/v1/sdk/customers", params={"email": "old@b.example"})).status_code == 404
        assert (await client.get("/v1/sdk/customers", params={"email": "new@b.example"})).status_code == 200


async def test_given_references_are_known_to_the_provider() -> None:
    """What the controls create is found through the provider's own routes."""
    async with client_of() as client:
        await known(client, free_units=10)
        customer = (await client.get(f"/v1/sdk/customers/{CUSTOMER}")).json()
        assert customer == {"reference": CUSTOMER, "name": "", "email": f"{CUSTOMER}@example.com", "purchases": []}
        plans = (await client.get(f"/v1/sdk/products/{PRODUCT}/plans")).json()["plans"]
        assert [(plan["reference"], plan["freeUnits"], plan["default"]) for plan in plans] == [
            ("pln_P9Q0R1S2", 10, True)
        ]


async def test_a_given_plan_is_the_only_default_plan() -> None:
    """Of a product that had another, as the demo data's has; the plan given again is the one that counts."""
    async with client_of(demo_data=True) as client:
        for free_units in (7, 9):
            given = {"reference": PRODUCT, "plan": {"freeUnits": free_units}}
            plans = (await client.post("/sandbox/products", json=given)).json()["plans"]
            assert [plan["freeUnits"] for plan in plans if plan["default"]] == [free_units]
        await client.post("/sandbox/customers", json={"reference": CUSTOMER})
        assert await remaining(client) == 9


@pytest.mark.parametrize(
    ("second", "status"),
    [
        ({"email": "A@example.com"}, 409),
        ({"email": "b@example.com", "externalRef": "one"}, 409),
        ({"email": "b@example.com", "externalRef": "two"}, 201),
        ({"email": "A@example.com", "environment": "live"}, 201),
    ],
)
async def test_given_customers_share_no_name(second: dict[str, str], status: int) -> None:
    """Whether they come one after the other or together: nobody could be found under it."""
    first = {"reference": "cus_a", "email": "a@example.com", "externalRef": "one"}
    second = {"reference": "cus_b", **second}
    for bodies in ([[first], [second]], [[first, second]]):
        async with client_of() as client:
            answers = [await client.post("/sandbox/customers", json=body) for body in bodies]
            assert answers[-1].status_code == status


async def test_many_can_be_given_at_once_and_again() -> None:
    """A list is taken whole; giving it a second time changes nothing."""
    customers = [{"reference": f"cus_{number}"} for number in range(3)]
    products = [{"reference": "prd_1", "plan": {"freeUnits": 5}}, {"reference": "prd_2", "environment": "live"}]
    async with client_of() as client:
        for _ in range(2):
            assert len((await client.post("/sandbox/customers", json=customers)).json()) == 3
            assert len((await client.post("/sandbox/products", json=products)).json()) == 2
        found = (await client.get("/v1/sdk/products")).json()
        assert [product["reference"] for product in found["products"]] == ["prd_1"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("customers", {}),
        ("customers", {"reference": ""}),
        ("customers", {"reference": "c", "environment": "mars"}),
        ("customers", [{"reference": "c"}, {"reference": "d", "email": "nobody"}]),
        ("products", {"reference": "p", "plan": {"freeUnits": -1}}),
        ("products", {"reference": "p", "plan": 7}),
        ("products", {"reference": "p", "plan": {"price": 5, "currency": "EUR"}}),
        ("products", [{"reference": "p"}, 7]),
        ("products", []),
    ],
)
async def test_bad_fixtures_are_refused_whole(path: str, body: Any) -> None:
    """A mistake in one entry: 400, and none of the list is kept. (An empty list is a list.)"""
    async with client_of() as client:
        answer = await client.post(f"/sandbox/{path}", json=body)
        assert answer.status_code == (201 if body == [] else 400)
        assert (await client.get("/v1/sdk/customers/c")).status_code == 404
        assert (await client.get("/v1/sdk/products/p")).status_code == 404


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("127.9.9.9", 200), ("::1", 200), ("10.0.0.5", 403)])
async def test_controls_answer_this_machine_only(peer: str, status: int) -> None:
    """No key is needed, so nobody else may; the provider's routes answer everybody."""
    async with client_of(peer=peer) as client:
        assert (await client.get("/sandbox/totals")).status_code == status
        assert (await client.post("/sandbox/reset")).status_code == status
        assert (await client.post(USAGES, json=event())).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", USAGES), ("POST", "/v1/sdk/nothing"), ("GET", "/sandbox/reset")])
async def test_unknown_paths_get_the_frameworks_404(method: str, path: str) -> None:
    """A wrong method is a wrong path there."""
    async with client_of() as client:
        answer = await client.request(method, path)
    expected = {"statusCode": 404, "message": f"Cannot {method} {path}", "error": "Not Found"}
    assert (answer.status_code, answer.json()) == (404, expected)
