"""`/openapi.json`: complete, well formed, and open to everybody; that it tells the truth is a property test."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # the package ships no types

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.description.operations import OPERATIONS
from meter.sandbox.knobs import Knobs
from meter.sandbox.routes import Entry, provider_routes
from meter.sandbox.store import Store
from meter.sandbox.usage.recording import Recorder
from tests.sandboxes import client_of


@pytest.fixture
async def document() -> dict[str, Any]:
    """The description as somebody without a key, who is not on this machine, gets it."""
    async with client_of(peer="192.0.2.1", sent_key="") as client:
        found: dict[str, Any] = (await client.get("/openapi.json")).raise_for_status().json()
    return found


def routes() -> list[Entry]:
    """The provider's routes as the sandbox serves them."""
    with closing(Store()) as store:
        catalogue = Catalogue(store)
        return provider_routes(Recorder(store, catalogue), store, catalogue, Knobs())


def found(value: Any, name: str) -> Iterator[Any]:
    """Every member of that name, however deep."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and name in value:
        yield value[name]
    for member in inside:
        yield from found(member, name)


async def test_every_route_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    """A route that the table forgets is missing in the description; one that is gone is left over in the table."""
    there = {f"{method} {path}" for method, path, _ in routes()}
    told = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert told == there == set(OPERATIONS)


async def test_every_schema_is_one_and_every_name_leads_to_one(document: dict[str, Any]) -> None:
    """No typing error in a keyword, no reference into nothing, no schema that nobody uses."""
    schemas = document["components"]["schemas"]
    for schema in [*found(document["paths"], "schema"), *schemas.values()]:
        Draft202012Validator.check_schema(schema)
    used = {name.removeprefix("#/components/schemas/") for name in found(document, "$ref")}
    assert used == set(schemas)


async def test_every_operation_says_what_its_errors_look_like(document: dict[str, Any]) -> None:
    """401 always, 400 where there is a body, 404 where a path names something, each with the provider's body."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            told = set(operation["responses"])
            assert told >= {"401"}, (method, path)
            assert "requestBody" not in operation or "400" in told, (method, path)
            assert "{" not in path or "404" in told, (method, path)
            refused = [answer for status, answer in operation["responses"].items() if status >= "400"]
            assert all("$ref" in str(answer) for answer in refused), (method, path)
            names = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert names == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    ids = list(found(document["paths"], "operationId"))
    assert len(ids) == len(set(ids))
