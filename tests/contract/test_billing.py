"""What every billing transport must do, asked of the fake, and of REST and MCP against the sandbox: in process and by
socket."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Protocol

import httpx
import msgspec
import pytest

from meter.billing.calling import HttpBilling
from meter.billing.exchange import Connections
from meter.billing.limits_outcome import (
    LimitsAnswer,
    LimitsInvalid,
    LimitsNotFound,
    LimitsOutcome,
    LimitsRefused,
    LimitsUnavailable,
)
from meter.billing.mcp import McpFraming
from meter.billing.rest import RestFraming
from meter.edges import BillingApi
from meter.pipeline.outcome import (
    Accepted,
    NotSent,
    Outcome,
    Refusal,
    Refused,
    Rejected,
    TooLarge,
    TryAgain,
    UnknownCustomer,
)
from meter.sandbox.app import Sandbox
from meter.sandbox.faults.striker import ConnectionCutError
from meter.sandbox.knobs import Knobs
from meter.sandbox.server import running
from meter.sandbox.store import Store
from tests.exchanges import InProcess
from tests.fakes import FakeBilling, Fault

BULK = "/v1/sdk/usages/bulk"
LIMITS = "/v1/sdk/limits"
KEY = "sk_sandbox_contract"


class Billing(BillingApi, Protocol):
    """The edge that the worker and the limits cache use."""

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        """Ask for limits."""

    async def close(self) -> None:
        """Close."""


class World(Protocol):
    """A transport with the provider behind it, and the strings that a test may pull there."""

    @property
    def billing(self) -> Billing:
        """The transport."""

    async def keys(self) -> list[str]:
        """The idempotency keys of the rows that were kept, in order."""

    async def strike(self, route: str, kind: str, **options: Any) -> None:
        """Make the next request to a route fail."""

    async def allow(self, customer: str, product: str, units: int) -> None:
        """Make a customer and a product with an allowance."""


class FakeWorld:
    """The fake."""

    def __init__(self) -> None:
        self.billing = FakeBilling()

    async def keys(self) -> list[str]:
        return list(self.billing.rows)

    async def strike(self, route: str, kind: str, **options: Any) -> None:
        (self.billing.faults if route == BULK else self.billing.limits_faults).append(Fault(kind, **options))

    async def allow(self, customer: str, product: str, units: int) -> None:
        self.billing.allowances[customer, product] = units


class SandboxWorld:
    """A transport against the sandbox, whose controls are reached through `controls`."""

    def __init__(self, billing: Billing, controls: httpx.AsyncClient) -> None:
        self.billing = billing
        self._controls = controls

    async def keys(self) -> list[str]:
        page = (await self._controls.get("/sandbox/usages")).json()
        return [usage["idempotencyKey"] for usage in page["usages"]]

    async def strike(self, route: str, kind: str, **options: Any) -> None:
        fault = {"route": route, "kind": kind, "count": 1, **options}
        (await self._controls.put("/sandbox/faults", json=[fault])).raise_for_status()

    async def allow(self, customer: str, product: str, units: int) -> None:
        plan = {"name": "Free", "type": "recurring", "price": 0, "freeUnits": units, "currency": "USD"}
        (await self._controls.post("/sandbox/customers", json={"reference": customer})).raise_for_status()
        product_body = {"reference": product, "plan": plan}
        (await self._controls.post("/sandbox/products", json=product_body)).raise_for_status()


class Cutting(httpx.ASGITransport):
    """The sandbox without a network: a cut connection is what the client would see of it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        try:
            return await super().handle_async_request(request)
        except ConnectionCutError as error:
            raise httpx.ReadError("cut") from error


@contextlib.asynccontextmanager
async def fake_world() -> AsyncIterator[World]:
    """The fake."""
    yield FakeWorld()


@contextlib.asynccontextmanager
async def in_process_world(transport_name: str, knobs: Knobs) -> AsyncIterator[World]:
    """The sandbox called directly."""
    with contextlib.closing(Store()) as store:
        transport = Cutting(app=Sandbox(store, key=KEY, knobs=knobs))
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as controls:
            yield SandboxWorld(billing_over(transport_name, "http://sandbox", InProcess(transport)), controls)


@contextlib.asynccontextmanager
async def socket_world(transport_name: str, knobs: Knobs) -> AsyncIterator[World]:
    """The sandbox over a real socket."""
    with contextlib.closing(Store()) as store:
        async with running(Sandbox(store, key=KEY, knobs=knobs)) as url, httpx.AsyncClient(base_url=url) as controls:
            billing = billing_over(transport_name, url)
            yield SandboxWorld(billing, controls)
            await billing.close()


def billing_over(transport_name: str, url: str, connections: Connections | None = None) -> Billing:
    """The daemon's transport of that name."""
    if transport_name == "mcp":
        return HttpBilling(McpFraming(f"{url}/mcp", KEY), 5.0, connections=connections)
    return HttpBilling(RestFraming(f"{url}/v1/sdk/", KEY), 5.0, connections=connections)


WORLDS = {
    "fake": fake_world,
    "rest_in_process": partial(in_process_world, "rest", Knobs()),
    "rest_socket": partial(socket_world, "rest", Knobs()),
    "mcp_in_process": partial(in_process_world, "mcp", Knobs()),
    "mcp_bare_objects": partial(in_process_world, "mcp", Knobs(bare_object=True)),
    "mcp_socket": partial(socket_world, "mcp", Knobs()),
}


@pytest.fixture(params=list(WORLDS.values()), ids=list(WORLDS))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """One world after the other."""
    async with request.param() as made:
        yield made


def event(key: str, **more: Any) -> bytes:
    """The ready body of one event."""
    body = {"customerRef": "cus_A", "productRef": "prd_A", "units": 1, "idempotencyKey": key, **more}
    return msgspec.json.encode(body)


def yes() -> bool:
    """A lease that lasts."""
    return True


async def test_events_are_kept_once_in_request_order(world: World) -> None:
    """One reference per event, in order; every key has one row."""
    outcome = await world.billing.record_bulk([event("a"), event("b"), event("c")], yes)
    assert isinstance(outcome, Accepted)
    assert len(set(outcome.references)) == 3
    assert await world.keys() == ["a", "b", "c"]


async def test_a_repeat_is_answered_as_duplicate_with_the_first_reference(world: World) -> None:
    """That is what makes a retry safe, within one batch and across batches."""
    first = await world.billing.record_bulk([event("a")], yes)
    again = await world.billing.record_bulk([event("b"), event("a"), event("b")], yes)
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert again.references[1] == first.references[0]
    assert (again.undebited.get(1), again.undebited.get(2)) == ("duplicate", "duplicate")
    assert again.undebited.get(0) != "duplicate"
    assert await world.keys() == ["a", "b"]


async def test_nothing_is_sent_without_permission(world: World) -> None:
    """The provider never hears of it."""
    outcome = await world.billing.record_bulk([event("a")], lambda: False)
    assert outcome == NotSent()
    assert await world.keys() == []


async def test_a_thousand_events_go_in_one_call(world: World) -> None:
    """The provider's maximum."""
    keys = [f"key-{number}" for number in range(1000)]
    outcome = await world.billing.record_bulk([event(key) for key in keys], yes)
    assert isinstance(outcome, Accepted)
    assert len(outcome.references) == 1000
    assert await world.keys() == keys


async def test_one_bad_event_refuses_the_batch_and_is_named(world: World) -> None:
    """Nothing is inserted beside it."""
    outcome = await world.billing.record_bulk([event("a"), event("b", units=100_001), event("c")], yes)
    assert isinstance(outcome, Rejected)
    assert list(outcome.named) == [1]
    assert await world.keys() == []


@pytest.mark.parametrize("named", [True, False])
async def test_a_refused_customer_is_named_or_not(world: World, named: bool) -> None:
    """Both happen; unnamed, the caller must search."""
    await world.strike(BULK, "reject_event", customers=["cus_B"], named=named)
    outcome = await world.billing.record_bulk([event("a"), event("b", customerRef="cus_B")], yes)
    assert isinstance(outcome, Rejected)
    assert list(outcome.named) == ([1] if named else [])
    assert await world.keys() == []


@pytest.mark.parametrize(
    ("kind", "options", "kept"),
    [
        ("cut_before_commit", {}, []),
        ("cut_after_commit", {}, ["a", "b"]),
        ("status_after_commit", {"status": 504}, ["a", "b"]),
        ("partial_insert", {"inserted": 1}, ["a"]),
        ("wrong_results", {}, ["a", "b"]),
        ("malformed", {}, ["a", "b"]),
    ],
)
async def test_when_the_provider_may_have_inserted_the_outcome_is_unknown(
    world: World, kind: str, options: dict[str, Any], kept: list[str]
) -> None:
    """Whatever was kept: trying again with the same keys leaves every key once."""
    await world.strike(BULK, kind, **options)
    outcome = await world.billing.record_bulk([event("a"), event("b")], yes)
    assert isinstance(outcome, TryAgain)
    assert outcome.outcome_unknown
    assert await world.keys() == kept
    assert isinstance(await world.billing.record_bulk([event("a"), event("b")], yes), Accepted)
    assert await world.keys() == ["a", "b"]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_provider_says_how_long_to_wait(world: World, status: int) -> None:
    """Nothing was inserted, and `Retry-After` comes through."""
    await world.strike(BULK, "status", status=status, retry_after_seconds=7)
    outcome = await world.billing.record_bulk([event("a")], yes)
    assert isinstance(outcome, TryAgain)
    assert (outcome.outcome_unknown, outcome.retry_after_seconds) == (False, 7.0)
    assert await world.keys() == []


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (401, "Invalid or expired secret key", Refused(Refusal.UNAUTHORIZED, "401 Invalid or expired secret key")),
        (403, "Forbidden", Refused(Refusal.FORBIDDEN, "403 Forbidden")),
        (404, "Customer not found", UnknownCustomer("Customer not found")),
        (413, "request entity too large", TooLarge()),
    ],
)
async def test_each_refusal_has_its_meaning(world: World, status: int, message: str, expected: Outcome) -> None:
    """A wrong key, an unknown customer and a large body call for different plans."""
    await world.strike(BULK, "status", status=status, message=message)
    outcome = await world.billing.record_bulk([event("a")], yes)
    assert type(outcome) is type(expected)
    if not isinstance(expected, Refused) or status == 401:
        assert outcome == expected
    assert await world.keys() == []


async def test_limits_count_down_with_usage(world: World) -> None:
    """What was recorded is known to the next question."""
    await world.allow("cus_A", "prd_A", 10)
    question = {"customerRef": "cus_A", "productRef": "prd_A"}
    before = await world.billing.check_limits(question)
    await world.billing.record_bulk([event("a", units=2), event("b"), event("c", outcome="fail")], yes)
    after = await world.billing.check_limits(question)
    assert isinstance(before, LimitsAnswer)
    assert isinstance(after, LimitsAnswer)
    assert (before.body["withinLimits"], before.body["remaining"], after.body["remaining"]) == (True, 10, 7)


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_link_to_buy_more_comes_only_when_asked_for(world: World, wanted: bool) -> None:
    """Each is made for one caller, so no other may get it from a cache."""
    await world.allow("cus_A", "prd_A", 1)
    await world.billing.check_limits({"customerRef": "cus_A", "productRef": "prd_A"})
    await world.billing.record_bulk([event("a")], yes)
    question: dict[str, object] = {"customerRef": "cus_A", "productRef": "prd_A"}
    answer = await world.billing.check_limits(question | ({"includeCheckoutSession": True} if wanted else {}))
    assert isinstance(answer, LimitsAnswer)
    assert answer.body["withinLimits"] is False
    assert ("checkoutUrl" in answer.body) is wanted


async def test_limits_of_an_unknown_customer_are_not_found(world: World) -> None:
    """That is told apart from a provider that is away."""
    assert isinstance(await world.billing.check_limits({"customerRef": "x", "productRef": "y"}), LimitsNotFound)


async def test_a_limits_question_without_a_customer_is_invalid(world: World) -> None:
    """The fault is the asker's."""
    assert isinstance(await world.billing.check_limits({"productRef": "y"}), LimitsInvalid)


async def test_limits_while_the_provider_is_busy_or_refuses_us(world: World) -> None:
    """Each is a value: nothing is raised into the asker."""
    question = {"customerRef": "cus_A", "productRef": "prd_A"}
    await world.strike(LIMITS, "status", status=503, retry_after_seconds=7)
    busy = await world.billing.check_limits(question)
    assert isinstance(busy, LimitsUnavailable)
    assert busy.retry_after_seconds == 7.0
    await world.strike(LIMITS, "status", status=401)
    refused = await world.billing.check_limits(question)
    assert isinstance(refused, LimitsRefused)
    assert refused.reason is Refusal.UNAUTHORIZED
