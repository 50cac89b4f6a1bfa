"""The books of the sandbox: whatever is paid and given back, and on whichever day its demo data are loaded."""

import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meter.sandbox.bookkeeping.books import figures
from meter.sandbox.bookkeeping.entries import Customer, Purchase, Transaction
from meter.sandbox.bookkeeping.payments import next_payment
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.demo_data.world import BOB, SUPPORT_BOT, USED, world
from meter.sandbox.rest.calls import SANDBOX, Call, Handler
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.sales.refunds import Refunds
from meter.sandbox.sales.transactions import Transactions
from meter.sandbox.store import Store
from tests.sandboxes import CUSTOMER, NOW

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001  # given
    datetime.timestamp
)
PAID = st.fixed_dictionaries({"amount": st.integers(1, 100), "status": st.sampled_from(["succeeded", "failed"])})
STEPS = st.lists(PAID | st.tuples(st.integers(0, 6), st.none() | st.integers(-1, 120).filter(bool)), max_size=20)


@given(now=MOMENTS)
@settings(max_examples=200)
def test_the_demo_data_are_right_on_any_day(now: float) -> None:
    """The figures are the examples', everything has happened, lately and this month, and no bill is due already."""
    made, moment = world(now), iso(now)
    rows = [entry for entry in made.entries if isinstance(entry, Transaction)]
    assert tuple(figures(rows)) == (84, 79, 3, 2, 387_100)
    assert figures(row for row in rows if row.product_ref == SUPPORT_BOT).revenue == 89_250
    assert iso(now - 29 * 86400)[:10] <= min(row.created_at[:10] for row in rows)
    assert max(row.created_at for row in rows) <= moment
    assert [usage.timestamp for usage in made.usages if (usage.timestamp or "")[:7] == moment[:7]] == sorted(
        usage.timestamp or "" for usage in made.usages
    )
    assert {usage.customer_ref for usage in made.usages} == {BOB}
    assert len({usage.idempotency_key for usage in made.usages}) == len(made.usages) == USED
    assert max(usage.timestamp or "" for usage in made.usages) <= moment
    due = [next_payment(entry) for entry in made.entries if isinstance(entry, Purchase)]
    assert all(each > moment for each in due if each is not None)
    assert len({entry.reference for entry in made.entries}) == len(made.entries)


@given(steps=STEPS)
def test_the_books_always_balance(steps: list[Any]) -> None:
    """The figures are those of the rows, no more goes back than came, and what is refused leaves nothing behind."""
    with closing(Store()) as store:
        catalogue = Catalogue(store)
        catalogue.put(SANDBOX, [Customer(CUSTOMER, "a@a.example", "", iso(NOW))])
        transactions, refunds = Transactions(catalogue), Refunds(store, catalogue)
        expected = {"totalTransactions": 0, "successful": 0, "failed": 0, "refunded": 0, "totalRevenue": 0}
        left: dict[str, int] = {}
        for step in steps:
            if isinstance(step, dict):
                _, row = answered(transactions.add, {"customerRef": CUSTOMER, **step})
                came = step["amount"] if step["status"] == "succeeded" else 0
                left[row["reference"]] = came
                moved = {"successful" if came else "failed": 1, "totalRevenue": came}
            else:
                source, amount = [*left, *["txn_NONE"] * 7][step[0]], step[1]
                body = {"sourceTransactionRef": source, "amount": amount}
                status, row = answered(refunds.create, {name: body[name] for name in body if body[name] is not None})
                amount = left.get(source, 0) if amount is None else amount
                assert status == expected_status(source, amount, left)
                if status != 201:
                    continue
                assert row["amount"] == amount
                left[source] -= amount
                moved = {"refunded": 1, "totalRevenue": -amount}
            for name, change in {"totalTransactions": 1, **moved}.items():
                expected[name] += change
            _, found = answered(transactions.stats, {})
            assert {name: found[name] for name in expected} == expected
        assert sum(left.values()) == expected["totalRevenue"]


def expected_status(source: str, amount: int, left: dict[str, int]) -> int:
    """What a refund of that amount is answered with."""
    if source not in left:
        return 404 if amount >= 0 else 400
    return 201 if 0 < amount <= left[source] else 400


def answered(handler: Handler, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and body of what a handler answers."""
    try:
        answer = handler(Call(SANDBOX, "/mcp", json.dumps(body).encode(), NOW))
    except ProviderError as error:
        return error.status, {}
    return answer.status, json.loads(answer.body)
