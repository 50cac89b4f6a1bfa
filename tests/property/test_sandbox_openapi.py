"""Whatever our own OpenAPI description allows or forbids, the sandbox answers as it says.

Requests are made by Schemathesis out of `/openapi.json`: good ones, and ones that break it somewhere. Each goes to a
sandbox in this process that knows a customer, a product, plans, a purchase and sessions, so that many are successful.
Examples are the same in every run.
"""

import asyncio
from contextlib import closing
from typing import Any, TypeAlias

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.description.openapi import document
from meter.sandbox.knobs import Knobs
from meter.sandbox.rest.errors import iso
from meter.sandbox.routes import provider_routes
from meter.sandbox.store import Store
from meter.sandbox.usage.recording import Recorder
from tests.sandboxes import CUSTOMER, NOW, PRODUCT, bought, client_of, known, plan_of
from tests.schemas import closed

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
AnyCase: TypeAlias = Case[Any]
REFS = {"customerRef": CUSTOMER, "productRef": PRODUCT}
TURNED = Knobs(
    strict_customer=True,
    accept_offsets=True,
    key_life_seconds=60,
    inserted_counts="new",
    allow_negative_credits=True,
    pending_activation=False,
    limit_counts="events",
    limit_outcomes=("success", "paywall", "fail"),
    limit_scope="customer",
    limit_period="30_days",
    unlimited_remaining=5,
)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
KNOBS = st.sampled_from([Knobs(), TURNED])
ONCE = settings(
    max_examples=8,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def operations(*, more_members: bool) -> list[Operation]:
    """Every operation of the description; `more_members` if bodies may have some that it does not name."""
    with closing(Store()) as store:
        catalogue = Catalogue(store)
        described = document(provider_routes(Recorder(store, catalogue), store, catalogue, Knobs()))
    described["components"] = closed(described["components"])
    loaded = schemathesis.openapi.from_dict(described if more_members else closed(described))
    return [found.ok() for found in loaded.get_all_operations() if isinstance(found, Ok)]


# The window in which a timestamp must be is more than a schema can say.
schemathesis.openapi.format("date-time", st.floats(NOW - 29 * 86400, NOW + 86400).map(iso))
schemathesis.openapi.format("uri", st.sampled_from(["https://origin.example/mcp", "http://127.0.0.1:9/a?b=c#d"]))
# Unknown members are ignored, which other tests show; here making them takes most of the time.
PLAIN, OPEN = operations(more_members=False), operations(more_members=True)


def each(found: list[Operation]) -> pytest.MarkDecorator:
    """One test for each operation."""
    return pytest.mark.parametrize("operation", found, ids=[operation.label for operation in found])


async def names_of(client: httpx.AsyncClient) -> dict[str, str]:
    """Fill a sandbox; what its paths and bodies may name."""
    await known(client)
    plan = await plan_of(client, price=4900, billingCycle="monthly", limit=10)
    credit = await plan_of(client, type="usage-based", creditsPerUnit=3)
    purchase = await bought(client, plan)
    session = (await client.post("/v1/sdk/customers/customer-sessions", json=REFS)).json()["sessionId"]
    return {
        **REFS,
        "customer": CUSTOMER,
        "product": PRODUCT,
        "plan": plan,
        "planRef": credit,
        "purchase": purchase,
        "session": session,
    }


def familiar(value: Any, names: dict[str, str]) -> Any:
    """The value with things that exist wherever it names one."""
    if isinstance(value, list):
        return [familiar(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: names[key] if key in names and isinstance(each, str) else familiar(each, names)
        for key, each in value.items()
    }


def point(case: AnyCase, names: dict[str, str]) -> None:
    """Make the case be about what exists."""
    reference = PRODUCT if "/products/" in case.path else CUSTOMER
    case.path_parameters = {
        name: {"reference": reference, **names}.get(name, value) for name, value in case.path_parameters.items()
    }
    case.query = familiar(case.query, names)
    case.body = familiar(case.body, names)
    case.headers["Authorization"] = "Bearer sk_sandbox_test"


async def sent(client: httpx.AsyncClient, case: AnyCase) -> httpx.Response:
    """The answer to the very bytes that Schemathesis would send."""
    prepared = requests.Request(**case.as_transport_kwargs(base_url="http://sandbox")).prepare()
    body: Any = prepared.body
    headers = [
        (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in prepared.headers.items()
    ]
    return await client.request(str(prepared.method), str(prepared.url), content=body, headers=headers)


def check_accepted(answer: httpx.Response) -> None:
    """What the description allows is refused only for what no schema can say."""
    if answer.status_code == 400:
        assert {issue["code"] for issue in answer.json().get("errors", [])} <= {"custom"}, answer.text


@each(PLAIN)
def test_good_requests_are_taken_and_answered_as_described(operation: Operation) -> None:
    """For every operation, whether what it names exists or not, and however the knobs are turned."""

    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE), exists=st.booleans(), knobs=KNOBS)
    @ONCE
    def holds(case: AnyCase, exists: bool, knobs: Knobs) -> None:
        async def run() -> None:
            async with client_of(knobs=knobs) as client:
                names = await names_of(client)
                if exists:
                    point(case, names)
                answer = await sent(client, case)
                case.validate_response(answer, checks=CHECKS)
                check_accepted(answer)

        asyncio.run(run())

    holds()


@each(OPEN)
def test_bad_requests_are_refused_as_described(operation: Operation) -> None:
    """Whatever breaks the description gets one of its errors."""

    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @ONCE
    def holds(case: AnyCase) -> None:
        async def run() -> None:
            async with client_of() as client:
                await names_of(client)
                case.validate_response(await sent(client, case), checks=[*CHECKS, negative_data_rejection])

        asyncio.run(run())

    holds()


@given(cases=st.lists(st.one_of([operation.as_strategy() for operation in PLAIN]), max_size=8), knobs=KNOBS)
@settings(ONCE, max_examples=40)
def test_one_good_request_after_the_other_is_answered_as_described(cases: list[AnyCase], knobs: Knobs) -> None:
    """What one request has left behind does not make the next one fail."""

    async def run() -> None:
        async with client_of(knobs=knobs) as client:
            names = await names_of(client)
            for case in cases:
                point(case, names)
                case.validate_response(await sent(client, case), checks=CHECKS)
            assert (await client.get("/")).status_code == 200

    asyncio.run(run())
