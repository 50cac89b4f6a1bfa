"""Whatever is sent, the sandbox answers in the provider's words and keeps its books."""

import asyncio
import json
from contextlib import closing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.sandbox.bookkeeping.usages import OTHER_NAMES, Usage, read_bulk, read_thoroughly
from meter.sandbox.catalogue import Catalogue
from meter.sandbox.controls import Controls
from meter.sandbox.faults.fault_list import Faults
from meter.sandbox.rest.calls import SANDBOX, Call
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.references import usage_reference
from meter.sandbox.sales.purchases import Purchases
from meter.sandbox.sales.sessions import Sessions
from meter.sandbox.store import Store
from meter.sandbox.usage.limits import UNLIMITED, Limits
from meter.sandbox.usage.recording import Recorder
from tests.sandboxes import BULK, CUSTOMER, LIMITS, NOW, PRODUCT, USAGES, client_of, known, remaining, rows

FIELDS = [*(field.encode_name for field in msgspec.structs.fields(Usage)), *(other for other, _ in OTHER_NAMES)]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from([CUSTOMER, PRODUCT, "success", "fail", "failure", "email", "2026-03-15T12:00:00Z", "k" * 257])
    | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
NEARLY_EVENTS = st.dictionaries(st.sampled_from([*FIELDS, "action", "requestId", "x"]), JSON, max_size=6)
PATHS = [USAGES, BULK, LIMITS, "/v1/sdk/customers", "/v1/sdk/products", f"/v1/sdk/products/{PRODUCT}/plans"]
PATHS += [f"/v1/sdk/{name}" for name in ("activate", "checkout-sessions", "user-info", "meter-events/bulk")]
PATHS += [f"/v1/sdk/customers/{CUSTOMER}/credits", "/v1/sdk/customers/customer-sessions"]
CHANGED = [("PUT", f"/v1/sdk/products/{PRODUCT}"), ("PATCH", f"/v1/sdk/customers/{CUSTOMER}")]
CHANGED += [("PUT", f"/v1/sdk/products/{PRODUCT}/plans/pln_P9Q0R1S2")]
CONTROLS = ["/sandbox/customers", "/sandbox/products"]
OTHER_FIELDS = [
    "reference",
    "email",
    "name",
    "environment",
    "plan",
    "freeUnits",
    "price",
    "productRef",
    "limit",
    "default",
    "customerRef",
    "planRef",
    "purpose",
    "meterName",
    "credits",
    "type",
    "creditsPerUnit",
    "accessExpiryDays",
]
BODIES = (
    JSON
    | NEARLY_EVENTS
    | st.fixed_dictionaries({"events": st.lists(NEARLY_EVENTS | JSON, max_size=3)})
    | st.dictionaries(st.sampled_from(OTHER_FIELDS), JSON, max_size=5)
)


@given(
    target=st.sampled_from([*(("POST", path) for path in PATHS + CONTROLS), *CHANGED]),
    body=BODIES.map(lambda value: json.dumps(value).encode()) | st.binary(),
)
@settings(max_examples=200)
def test_no_body_whatsoever_gives_a_500(target: tuple[str, str], body: bytes) -> None:
    """Every body gets 200, 201, 400, 404 or 409 with JSON, and what was kept can be shown."""

    async def post() -> None:
        async with client_of() as client:
            await known(client)
            answer = await client.request(*target, content=body)
            assert answer.status_code in {200, 201, 400, 404, 409}, answer.text
            answer.json()
            await rows(client)
            assert (await client.get("/v1/sdk/products")).status_code == 200
            await remaining(client)

    asyncio.run(post())


@pytest.mark.parametrize("depth", [200, 500, 900, 990, 5000])
async def test_no_depth_gives_a_500(depth: int) -> None:
    """Nesting is taken or refused, never an accident; what was taken can be shown."""
    body = b'{"customerRef":"c","x":1,"metadata":{"a":' + b"[" * depth + b"]" * depth + b"}}"
    async with client_of() as client:
        for spelling in (body, body.replace(b'"x":1,', b"")):
            answer = await client.post(USAGES, content=spelling)
            assert answer.status_code in {200, 400}
        assert len(await rows(client)) in {0, 1, 2}


GOOD_EVENTS = st.fixed_dictionaries(
    {"customerRef": st.sampled_from([CUSTOMER, "cus_other"])},
    optional={
        "productRef": st.sampled_from([PRODUCT, "prd_other"]),
        "units": st.integers(0, 100),
        "outcome": st.sampled_from(["success", "success", "fail", "paywall"]),
        "idempotencyKey": st.sampled_from([f"k{number}" for number in range(8)]),
        "timestamp": st.sampled_from([NOW - 20 * 86400, NOW - 86400, NOW, NOW + 3600]).map(iso),
        "metadata": st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
        "duration": st.floats(0, 1e6),
    },
)


@given(calls=st.lists(st.lists(GOOD_EVENTS, min_size=1, max_size=6), max_size=6))
@settings(max_examples=150)
def test_units_posted_are_the_remaining_lost(calls: list[list[dict[str, Any]]]) -> None:
    """What the allowance loses is the units of the first of each key that succeeded this month, and nothing else.

    Totals and rows tell the same story, and a repeat of everything changes none of them.
    """
    with closing(Store()) as store:
        catalogue = Catalogue(store)
        recorder = Recorder(store, catalogue)
        limits = Limits(store, catalogue, Sessions(catalogue, Purchases(store, catalogue)))
        _sell(store, catalogue)
        counted: dict[object, int] = {}
        for events in calls:
            recorder.bulk(_call({"events": events}))
            for event in events:
                counted.setdefault(event.get("idempotencyKey", object()), _counts(event))
        left = msgspec.json.decode(limits.check(_call({"customerRef": CUSTOMER, "productRef": PRODUCT})).body)
        assert left["remaining"] == UNLIMITED - 1 - sum(counted.values())
        kept = store.usages_after(0, 1000)
        totals = store.totals()
        sent = sum(len(events) for events in calls)
        assert (totals.usages, totals.units) == (len(kept), sum(row.usage.units for row in kept))
        assert totals.usages + totals.duplicates == sent
        keys = [row.usage.idempotency_key for row in kept if row.usage.idempotency_key is not None]
        assert len(keys) == len(set(keys))


EDGES = st.sampled_from([NOW - 30 * 86400, NOW - 30 * 86400 - 0.001, NOW + 86400, NOW + 86400.001]).map(
    lambda moment: {"customerRef": CUSTOMER, "timestamp": iso(moment)}
)


@given(events=st.lists(NEARLY_EVENTS | GOOD_EVENTS | EDGES, min_size=1, max_size=4))
@settings(max_examples=300)
def test_both_readers_agree(events: list[dict[str, Any]]) -> None:
    """The quick reader takes nothing that the thorough one refuses, and reads the same out of it."""
    body = json.dumps({"events": events}).encode()
    assert _outcome(lambda: read_bulk(body, NOW)) == _outcome(lambda: read_thoroughly(msgspec.json.decode(body), NOW))


@given(start=st.integers(0, 36**8 - 1000))
def test_references_are_unique(start: int) -> None:
    """Different rows, different references, all of the documented form."""
    references = {usage_reference(row) for row in range(start, start + 1000)}
    assert len(references) == 1000
    assert all(len(reference) == 14 and reference.startswith("usage_") for reference in references)


def _outcome(read: Any) -> object:
    try:
        usages = read()
    except ProviderError as error:
        return error.status
    return [(msgspec.structs.astuple(usage)[:8], _decoded(usage.metadata), usage.duration) for usage in usages]


def _decoded(metadata: msgspec.Raw | None) -> object:
    return None if metadata is None else msgspec.json.decode(metadata)


def _call(body: object) -> Call:
    return Call(SANDBOX, BULK, json.dumps(body).encode(), NOW)


def _sell(store: Store, catalogue: Catalogue) -> None:
    controls = Controls(store, catalogue, Faults(), [])
    controls.put_customers(_call({"reference": CUSTOMER}))
    controls.put_products(_call({"reference": PRODUCT, "plan": {"freeUnits": UNLIMITED - 1}}))


def _counts(event: dict[str, Any]) -> int:
    mine = event["customerRef"] == CUSTOMER and event.get("productRef") == PRODUCT
    this_month = event.get("timestamp", "2026-03").startswith("2026-03")
    return event.get("units", 1) if mine and this_month and event.get("outcome", "success") == "success" else 0
