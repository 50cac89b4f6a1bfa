"""The provider's own description of its operations, walked one by one."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import closing

import pytest

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.knobs import Knobs
from meter.sandbox.routes import provider_routes
from meter.sandbox.store import Store
from meter.sandbox.usage.recording import Recorder
from tests.operations import NAMES, OPERATIONS, Operation, World, named, world_of
from tests.sandboxes import PRODUCT, client_of, plan_of
from tests.schemas import faults


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Everything that a path can name."""
    async with world_of() as world:
        yield world


@pytest.mark.parametrize("operation", OPERATIONS, ids=[each["operation"] for each in OPERATIONS])
async def test_an_operation_is_as_described(operation: Operation, world: World) -> None:
    """Its request is taken; its status and response fit."""
    name = operation["operation"]
    body = world.body(name)
    if name.endswith("/reactivate"):
        await world.client.post(f"/v1/sdk/purchases/{world.names['purchaseRef']}/cancel")
    answer = await world.ask(name)
    assert answer.status_code == operation["status"], answer.text
    assert list(faults(answer.json(), operation.get("response", {}))) == []
    # The description calls every field that holds an object required, which the real provider does not.
    assert [fault for fault in faults(body, operation.get("request", {})) if not _is_overstated(fault, operation)] == []


async def test_whole_numbers_are_written_without_a_point() -> None:
    """As JavaScript writes them, after a restart as well: strict readers take 4900.0 for no whole amount."""
    with closing(Store()) as store:
        async with world_of(store) as world:
            await plan_of(world.client, name="Metered", type="hybrid", price=900.0, limit=1, creditsPerUnit=150)
            first = [(await world.ask(name)).text for name in NAMES if name.startswith("GET ")]
        async with client_of(store) as client:
            again = World(client, world.names)
            answers = [*first, *[(await again.ask(name)).text for name in NAMES]]
    assert '"price":4900,' in "".join(answers)
    assert '"price":900,' in "".join(answers)
    assert [found for text in answers for found in re.findall(r'"\w+":-?\d+\.0[,}]', text)] == []


def _is_overstated(fault: str, operation: Operation) -> bool:
    """Whether nothing is wrong but that an object is missing."""
    path, _, what = fault.partition(": ")
    members = operation["request"]["properties"]
    return what == "missing" and members.get(path.removeprefix("$."), {}).get("type") == "object"


def test_every_operation_is_there(record_property: Callable[[str, object], None]) -> None:
    """Those of the description, each walked above."""
    described = {named(each["operation"]) for each in OPERATIONS}
    with closing(Store()) as store:
        catalogue = Catalogue(store)
        entries = provider_routes(Recorder(store, catalogue), store, catalogue, Knobs())
    there = {named(f"{method} {path}") for method, path, _ in entries}
    record_property("said", f"sandbox: {len(described & there)} of {len(described)} operations implemented")
    assert described <= there
    assert len(OPERATIONS) == len(described) == 41


async def test_limits_on_credits_are_as_described(world: World) -> None:
    """The longer answers of `/limits` and `/activate`: blocked, with a checkout; then with credits."""
    client = world.client
    schemas = {each["operation"]: each["response"] for each in OPERATIONS if "response" in each}
    await client.post("/sandbox/customers", json={"reference": "cus_2"})
    plan = await plan_of(client, type="usage-based", creditsPerUnit=5, default=True)
    body = {"customerRef": "cus_2", "productRef": PRODUCT, "includeCheckoutSession": True}
    for _ in "12":
        answer = (await client.post("/v1/sdk/limits", json=body)).json()
        assert list(faults(answer, schemas["POST /v1/sdk/limits"])) == []
        assert answer["withinLimits"] is False
        assert answer["checkoutUrl"].endswith(answer["checkoutSessionId"])
        wish = {"customerRef": "cus_2", "productRef": PRODUCT, "planRef": plan}
        answer = (await client.post("/v1/sdk/activate", json=wish)).json()
        assert list(faults(answer, schemas["POST /v1/sdk/activate"])) == []
        assert answer["status"] == "topup_required"
