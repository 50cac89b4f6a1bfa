"""Whatever is given and used, in whatever batches, the credits add up."""

import json
from contextlib import closing
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.sandbox.bookkeeping.entries import Customer, Plan, Product
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.rest.calls import SANDBOX, Call
from meter.sandbox.sales.credits import Credits
from meter.sandbox.sales.new_purchases import NewPurchases
from meter.sandbox.store import Store
from meter.sandbox.usage.recording import Recorder
from tests.sandboxes import NOW

PRICES = {"prd_1": 10, "prd_2": 7}
MOMENT = "2026-03-15T12:00:00.000Z"
EVENTS = st.fixed_dictionaries(
    {"customerRef": st.just("cus_1"), "productRef": st.sampled_from(["prd_1", "prd_2", "prd_X"])},
    optional={
        "units": st.integers(0, 20),
        "outcome": st.sampled_from(["success", "success", "fail"]),
        "idempotencyKey": st.sampled_from(["a", "b", "c", "d"]),
    },
)
STEPS = st.lists(st.integers(1, 500) | st.lists(EVENTS, min_size=1, max_size=5), max_size=8)


@given(steps=STEPS)
@settings(max_examples=200)
def test_credits_given_are_credits_taken_and_left(steps: list[int | list[dict[str, Any]]]) -> None:
    """Given = debited + balance, never below zero; each debit is price x units, or all that was left.

    The store tells the same story when it is read again.
    """
    with closing(Store()) as store:
        catalogue = Catalogue(store)
        _sell(catalogue)
        recorder, credit = Recorder(store, catalogue), Credits(store, catalogue)
        left = 0
        for step in steps:
            if isinstance(step, int):
                credit.grant(_call({"credits": step}))
                left += step
                continue
            results = msgspec.json.decode(recorder.bulk(_call({"events": step})).body)["results"]
            for event, result in zip(step, results, strict=True):
                debit = result.get("creditDebit", {})
                if debit.get("debited"):
                    price = PRICES[event["productRef"]]
                    assert debit["amount"] == min(event.get("units", 1) * price, left)
                    left -= debit["amount"]
                    assert debit["unitsRemaining"] == left // price
            assert store.ledger.balance(SANDBOX, "cus_1") == left
        store.ledger.load()
        assert store.ledger.balance(SANDBOX, "cus_1") == left >= 0


def _sell(catalogue: Catalogue) -> None:
    catalogue.put(SANDBOX, [Customer("cus_1", "a@b.example", "", MOMENT)])
    for reference, price in PRICES.items():
        plan = Plan(f"pln_{reference}", reference, MOMENT, MOMENT, type="usage-based", credits_per_unit=price)
        catalogue.put(SANDBOX, [Product(reference, reference, MOMENT, MOMENT), plan])
        NewPurchases(catalogue).begin(SANDBOX, "cus_1", plan, NOW)


def _call(body: object) -> Call:
    return Call(SANDBOX, "/", json.dumps(body).encode(), NOW, {"reference": "cus_1"})
