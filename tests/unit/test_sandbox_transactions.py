"""Transactions: every payment is a row, every figure a sum over rows, and refunds are rows as well."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from meter.sandbox.app import Sandbox
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import LIVE, SANDBOX, Answer, Call
from meter.sandbox.rest.errors import ProviderError
from meter.sandbox.sales.refunds import Refunds
from meter.sandbox.sales.transactions import Transactions
from meter.sandbox.store import Store
from tests.sandboxes import (
    CUSTOMER,
    NOW,
    PRODUCT,
    activate,
    balance,
    bought,
    client_of,
    grant,
    known,
    plan_of,
    remaining,
)

DAY = 86400
ROWS = "/sandbox/transactions"
CHECKOUTS = "/v1/sdk/checkout-sessions"
NOTHING = {"totalTransactions": 0, "successful": 0, "failed": 0, "refunded": 0, "totalRevenue": 0}


class Ledger:
    """The handlers that only MCP leads to, over the catalogue of a sandbox, as plain functions."""

    def __init__(self, store: Store) -> None:
        self.sandbox = Sandbox(store, now=lambda: NOW)
        catalogue: Catalogue = self.sandbox.catalogue
        self._transactions, self._refunds = Transactions(catalogue), Refunds(store, catalogue)

    def stats(self, environment: int = SANDBOX, **body: Any) -> dict[str, Any]:
        """The statistics."""
        return answered(self._transactions.stats, environment, body)

    def figures(self, **body: Any) -> dict[str, Any]:
        """The statistics' sums."""
        return {name: value for name, value in self.stats(**body).items() if name in NOTHING}

    def balance(self, product_ref: str, environment: int = SANDBOX) -> dict[str, Any]:
        """What a product has earned."""
        return answered(self._transactions.balance, environment, {"productRef": product_ref})

    def refund(self, source: str, environment: int = SANDBOX, **body: Any) -> dict[str, Any]:
        """A refund."""
        return answered(self._refunds.create, environment, {"sourceTransactionRef": source, **body})

    def client(self, key: str = "sk_sandbox_test") -> httpx.AsyncClient:
        """A client of the same sandbox."""
        headers = {"authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(app=self.sandbox, client=("127.0.0.1", 40000))
        return httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=headers)


def answered(handler: Callable[[Call], Answer], environment: int, body: dict[str, Any]) -> dict[str, Any]:
    """What a handler answers to a body."""
    found: dict[str, Any] = json.loads(handler(Call(environment, "/mcp", json.dumps(body).encode(), NOW)).body)
    return found


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """The ledger of an empty sandbox."""
    with closing(Store()) as store:
        yield Ledger(store)


async def rows(client: httpx.AsyncClient, environment: str = "sandbox") -> list[dict[str, Any]]:
    """Every transaction."""
    answer = await client.get(ROWS, params={"environment": environment})
    found: list[dict[str, Any]] = answer.raise_for_status().json()["transactions"]
    return found


async def added(client: httpx.AsyncClient, **fields: Any) -> str:
    """A payment of CUSTOMER; its reference."""
    answer = await client.post(ROWS, json={"customerRef": CUSTOMER, "amount": 1000, **fields})
    return str(answer.raise_for_status().json()["reference"])


async def test_a_paid_checkout_leaves_a_transaction(ledger: Ledger) -> None:
    """With all that it was about; the product has earned it, and an unpaid or free purchase leaves none."""
    async with ledger.client() as client:
        await known(client, free_units=10)
        await remaining(client)
        plan = await plan_of(client, price=4900, billingCycle="monthly")
        body = {"customerRef": CUSTOMER, "productRef": PRODUCT, "planRef": plan}
        session = (await client.post(CHECKOUTS, json=body)).json()["sessionId"]
        assert await rows(client) == []
        purchase = (await client.post(f"/sandbox/checkout-sessions/{session}")).json()["purchaseRef"]
        (row,) = await rows(client)
        product = (await client.get(f"/v1/sdk/products/{PRODUCT}")).json()
    assert row.pop("reference").startswith("txn_")
    assert row == {
        "type": "purchase",
        "status": "succeeded",
        "amount": 4900,
        "currency": "USD",
        "createdAt": "2026-03-15T12:00:00.000Z",
        "purchaseRef": purchase,
        **body,
    }
    earned = {"productRef": PRODUCT, "balance": 4900, "currency": "USD", "totalTransactions": 1}
    assert ledger.balance(PRODUCT) == earned
    assert (product["balance"], product["totalTransactions"]) == (4900, 1)


async def test_a_topup_leaves_a_transaction_and_a_grant_does_not(ledger: Ledger) -> None:
    """A hundred credits are a cent, a begun cent is a whole one, and what is given away has no price."""
    async with ledger.client() as client:
        await known(client)
        plan = await plan_of(client, type="usage-based", creditsPerUnit=100)
        await grant(client, 50)
        session = (await activate(client, plan))["checkoutSessionId"]
        await client.post(f"/sandbox/checkout-sessions/{session}", json={"credits": 25001})
        (row,) = await rows(client)
    assert (row["type"], row["amount"], row["customerRef"], row["productRef"]) == ("topup", 251, CUSTOMER, PRODUCT)
    assert ledger.figures() == {**NOTHING, "totalTransactions": 1, "successful": 1, "totalRevenue": 251}


@pytest.mark.parametrize(("about", "amount"), [({"purpose": "credit_topup"}, 1000), ({"planRef": "<plan>"}, 4900)])
async def test_a_card_that_is_refused_leaves_a_failed_transaction(
    ledger: Ledger, about: dict[str, str], amount: int
) -> None:
    """402, and nothing is bought; the same session can be paid afterwards."""
    async with ledger.client() as client:
        await known(client, free_units=10)
        plan = await plan_of(client, price=4900)
        about = {name: value.replace("<plan>", plan) for name, value in about.items()}
        body = {"customerRef": CUSTOMER, "productRef": PRODUCT, **about}
        path = f"/sandbox/checkout-sessions/{(await client.post(CHECKOUTS, json=body)).json()['sessionId']}"
        answer = await client.post(path, json={"declined": True})
        (row,) = await rows(client)
        assert (answer.status_code, answer.json()) == (402, {"success": False, "transactionRef": row["reference"]})
        assert (row["status"], row["amount"], row["customerRef"]) == ("failed", amount, CUSTOMER)
        assert (await balance(client), await remaining(client)) == (0, 10)
        assert (await client.post(path)).status_code == 200
    figures = {"totalTransactions": 2, "successful": 1, "failed": 1, "refunded": 0, "totalRevenue": amount}
    assert ledger.figures() == figures


async def test_what_is_free_cannot_be_refused() -> None:
    """There is nothing to pay."""
    async with client_of() as client:
        await known(client, free_units=10)
        session = await client.post(CHECKOUTS, json={"customerRef": CUSTOMER, "productRef": PRODUCT})
        path = f"/sandbox/checkout-sessions/{session.json()['sessionId']}"
        assert (await client.post(path, json={"declined": True})).status_code == 400


async def test_every_row_is_counted_once(ledger: Ledger) -> None:
    """A payment, a failed one, a refund: the total is their sum, and revenue is net of what went back."""
    async with ledger.client() as client:
        await known(client)
        assert ledger.figures() == NOTHING
        paid = await added(client, amount=5000, productRef=PRODUCT)
        await added(client, amount=900, status="failed", productRef=PRODUCT)
        ledger.refund(paid, amount=1500)
        await added(client, amount=70)
    figures = {"totalTransactions": 4, "successful": 2, "failed": 1, "refunded": 1, "totalRevenue": 3570}
    assert ledger.figures() == figures
    assert ledger.stats() == {**figures, "currency": "USD", "fromDate": None, "toDate": None}
    assert ledger.balance(PRODUCT) == {
        "productRef": PRODUCT,
        "balance": 3500,
        "currency": "USD",
        "totalTransactions": 3,
    }


@pytest.mark.parametrize(
    ("from_date", "to_date", "total"),
    [
        (None, None, 4),
        ("2026-01-11", "2026-02-11", 2),
        ("2026-01-11T23:59:59.999Z", "2026-02-11T00:00:00Z", 2),
        ("2026-01-12", "2026-02-10", 0),
        ("2026-02-11", "2026-02-11", 1),
        ("2026-02-12", None, 1),
        (None, "2026-01-10", 1),
    ],
)
async def test_days_are_whole_and_both_bounds_count(
    ledger: Ledger, from_date: str | None, to_date: str | None, total: int
) -> None:
    """From the first moment of the first day to the last of the last, in UTC."""
    moments = ("2026-01-10T23:59:59.999Z", "2026-01-11T00:00:00Z", "2026-02-11T23:59:59.999Z", "2026-02-12T00:00:00Z")
    async with ledger.client() as client:
        await known(client)
        for moment in moments:
            await added(client, createdAt=moment)
    bounds: dict[str, Any] = {
        name: date for name, date in (("fromDate", from_date), ("toDate", to_date)) if date is not None
    }
    found = ledger.stats(**bounds)
    assert (found["totalTransactions"], found["totalRevenue"]) == (total, total * 1000)
    assert (found["fromDate"], found["toDate"]) == (from_date and from_date[:10], to_date and to_date[:10])


@pytest.mark.parametrize(
    "body",
    [
        {"fromDate": "yesterday"},
        {"fromDate": "2026-02-30"},
        {"fromDate": "20260211"},
        {"toDate": 20260211},
        {"fromDate": "2026-02-12", "toDate": "2026-02-11"},
    ],
)
def test_a_day_that_is_none_is_refused(ledger: Ledger, body: dict[str, Any]) -> None:
    """400, with the name of the field."""
    with pytest.raises(ProviderError) as refused:
        ledger.stats(**body)
    assert refused.value.status == 400
    assert refused.value.issues is not None
    assert refused.value.issues[0]["path"][0] in body


def test_what_an_unknown_product_has_earned_is_not_known(ledger: Ledger) -> None:
    """404 with its reference."""
    with pytest.raises(ProviderError, match="Product with reference prd_X not found") as refused:
        ledger.balance("prd_X")
    assert refused.value.status == 404


async def test_money_goes_back_in_parts_until_nothing_is_left(ledger: Ledger) -> None:
    """Each part is a transaction of its own; the last takes what is left, and more there is not."""
    async with ledger.client() as client:
        await known(client)
        purchase = await bought(client, await plan_of(client, price=4900, limit=70))
        (source,) = await rows(client)
        first = ledger.refund(source["reference"], amount=2500, reason="Double charge")
        path = f"/v1/sdk/purchases/{purchase}"
        assert (await client.get(path)).json()["status"] == "active"
        with pytest.raises(ProviderError, match="at most 2400"):
            ledger.refund(source["reference"], amount=2401)
        assert ledger.refund(source["reference"])["amount"] == 2400
        with pytest.raises(ProviderError, match="nothing of it is left"):
            ledger.refund(source["reference"], amount=1)
        assert (await client.get(path)).json()["status"] == "refunded"
    assert first.pop("reference") != source["reference"]
    assert first == {
        "type": "refund",
        "status": "succeeded",
        "sourceTransactionRef": source["reference"],
        "amount": 2500,
        "currency": "USD",
        "createdAt": "2026-03-15T12:00:00.000Z",
        "reason": "Double charge",
        "customerRef": CUSTOMER,
        "productRef": PRODUCT,
        "planRef": source["planRef"],
        "purchaseRef": purchase,
    }
    assert ledger.figures() == {**NOTHING, "totalTransactions": 3, "successful": 1, "refunded": 2}


async def test_a_full_refund_takes_the_access_away_at_once(ledger: Ledger) -> None:
    """The purchase is `refunded` and over; the customer falls back to the free plan, as after any end."""
    async with ledger.client() as client:
        await known(client, free_units=10)
        purchase = await bought(client, await plan_of(client, price=4900, billingCycle="monthly", limit=70))
        assert await remaining(client) == 70
        ledger.refund((await rows(client))[0]["reference"])
        shown = (await client.get(f"/v1/sdk/purchases/{purchase}")).json()
        assert (shown["status"], shown["endDate"], shown["autoRenew"]) == (
            "refunded",
            "2026-03-15T12:00:00.000Z",
            False,
        )
        assert "nextBillingDate" not in shown
        assert (await client.post(f"/v1/sdk/purchases/{purchase}/cancel")).status_code == 400
        assert await remaining(client) == 10


async def test_who_paid_twice_keeps_what_the_other_payment_bought(ledger: Ledger) -> None:
    """A full refund of one of two charges for the same period ends nothing; that of the second does."""
    async with ledger.client() as client:
        await known(client, free_units=None)
        purchase = await bought(client, await plan_of(client, price=4900, limit=70))
        await added(client, amount=4900, purchaseRef=purchase)
        first, second = [row["reference"] for row in await rows(client)]
        ledger.refund(first)
        assert await remaining(client) == 70
        ledger.refund(second)
        assert await remaining(client) == 0


async def test_refunded_credits_are_taken_back(ledger: Ledger) -> None:
    """As far as they are still there."""
    async with ledger.client() as client:
        await known(client)
        plan = await plan_of(client, type="usage-based", creditsPerUnit=100)
        session = (await activate(client, plan))["checkoutSessionId"]
        await client.post(f"/sandbox/checkout-sessions/{session}", json={"credits": 5000})
        (source,) = await rows(client)
        ledger.refund(source["reference"], amount=20)
        assert await balance(client) == 3000
        await client.post("/v1/sdk/usages", json={"customerRef": CUSTOMER, "productRef": PRODUCT, "units": 10})
        ledger.refund(source["reference"])
        assert await balance(client) == 0


async def test_days_are_in_order_from_the_first_year_on(ledger: Ledger) -> None:
    """A year of less than four digits is written with four, as all others."""
    async with ledger.client() as client:
        await known(client)
        for moment in ("0009-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
            await added(client, createdAt=moment)
        assert [row["createdAt"] for row in await rows(client)] == [
            "0009-01-01T00:00:00.000Z",
            "9999-12-31T23:59:59.000Z",
        ]
    assert ledger.stats(toDate="2026-01-01")["totalTransactions"] == 1


def test_a_bound_is_told_to_its_last_digit(ledger: Ledger) -> None:
    """As the provider's schema library tells it: no powers of ten."""
    with pytest.raises(ProviderError) as refused:
        ledger.refund("txn_1", amount=2**60)
    (issue,) = refused.value.issues or ()
    assert issue["message"] == "Number must be at most 9007199254740992"


@pytest.mark.parametrize("amount", [0, -1, 0.5, 1001, 2**60, True, "100", None])
async def test_an_amount_that_cannot_go_back_is_refused(ledger: Ledger, amount: object) -> None:
    """400, and nothing is written; an integral float is an integer there."""
    async with ledger.client() as client:
        await known(client)
        source = await added(client)
        with pytest.raises(ProviderError) as refused:
            ledger.refund(source, amount=amount)
        assert refused.value.status == 400
        assert len(await rows(client)) == 1
        assert ledger.refund(source, amount=1000.0)["amount"] == 1000


async def test_only_what_was_paid_can_go_back(ledger: Ledger) -> None:
    """A failed payment and a refund are a 400, an unknown reference and none at all are a 404 and a 400."""
    async with ledger.client() as client:
        await known(client)
        failed = await added(client, status="failed")
        refund = ledger.refund(await added(client), amount=1)["reference"]
    for reference, status in ((failed, 400), (refund, 400), ("txn_X", 404), ("", 400)):
        with pytest.raises(ProviderError) as refused:
            ledger.refund(reference)
        assert refused.value.status == status


async def test_the_environments_never_mix(ledger: Ledger) -> None:
    """Neither sums nor references of one are known to the other."""
    async with ledger.client() as client:
        await known(client)
        source = await added(client, productRef=PRODUCT)
        await client.post("/sandbox/customers", json={"reference": CUSTOMER, "environment": "live"})
        await client.post("/sandbox/products", json={"reference": PRODUCT, "environment": "live"})
        await added(client, amount=5, productRef=PRODUCT, environment="live")
        assert [row["amount"] for row in await rows(client, "live")] == [5]
    assert (ledger.stats(LIVE)["totalRevenue"], ledger.stats(SANDBOX)["totalRevenue"]) == (5, 1000)
    assert (ledger.balance(PRODUCT, LIVE)["balance"], ledger.balance(PRODUCT)["balance"]) == (5, 1000)
    with pytest.raises(ProviderError, match="not found"):
        ledger.refund(source, LIVE)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"customerRef": "cus_X"}, 404),
        ({"productRef": "prd_X"}, 404),
        ({"productRef": PRODUCT, "planRef": "pln_X"}, 404),
        ({"purchaseRef": "pur_X"}, 404),
        ({"reference": "txn_1"}, 409),
        ({"amount": 0}, 400),
        ({"type": "refund"}, 400),
        ({"createdAt": "today"}, 400),
        ({"createdAt": "9999-12-31T23:59:59.9999999Z"}, 400),
        ({"environment": "mars"}, 400),
    ],
)
async def test_an_added_transaction_must_make_sense(fields: dict[str, Any], status: int) -> None:
    """What it names exists, and its reference does not; else nothing is kept."""
    async with client_of() as client:
        await known(client)
        await added(client, reference="txn_1")
        answer = await client.post(ROWS, json={"customerRef": CUSTOMER, "amount": 5, **fields})
        assert (answer.status_code, len(await rows(client))) == (status, 1)
        assert (await client.get(ROWS, params={"environment": "mars"})).status_code == 400


async def test_transactions_survive_a_restart() -> None:
    """Figures and what is left to refund are the same afterwards."""
    with closing(Store()) as store:
        before = Ledger(store)
        async with before.client() as client:
            await known(client)
            source = await added(client)
        before.refund(source, amount=400)
        after = Ledger(store)
        assert after.stats() == before.stats()
        with pytest.raises(ProviderError, match="at most 600"):
            after.refund(source, amount=601)
