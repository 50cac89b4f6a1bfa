"""Bad input, operation by operation: the provider's words, the place of the fault, and nothing half-written."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import pytest

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.store import Store
from tests.operations import NAMES, OPERATIONS, World, world_of

SCHEMAS = {each["operation"]: each["request"] for each in OPERATIONS if "request" in each}
IGNORED = {"usageTracking"}
"""Fields that the sandbox does not read: whatever they hold is good."""

WRONG = {"string": 5, "number": "5", "integer": "5", "boolean": "true", "object": [], "array": {}}
"""For each type a value that is none."""

UNKNOWN = {
    "reference": ["Customer with reference x_none not found"],
    "productRef": ["Product with reference x_none not found"],
    "planRef": ["Plan with reference x_none not found"],
    "purchaseRef": ["Purchase with reference x_none not found"],
    "customerRef": ["Customer with reference x_none not found"],
    "sessionId": ["Customer session not found: x_none"],
}


class Watched:
    """A world, and everything that its store holds."""

    def __init__(self, world: World, store: Store) -> None:
        self.world = world
        self._store = store

    def kept(self) -> tuple[Any, ...]:
        """All of it."""
        kinds = [kind.__name__ for kind in Catalogue.KINDS]
        return (
            [self._store.objects(kind) for kind in kinds],
            self._store.totals(),
            self._store.ledger.balance(0, self.world.names["customerRef"]),
        )


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """A world to break."""
    with closing(Store()) as store:
        async with world_of(store, key="sk_good", sent_key="sk_good") as world:
            yield Watched(world, store)


def broken(body: Any, schema: dict[str, Any], path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, list[Any]]]:
    """Bodies with one fault each, and where it is; fields that hold objects are required in the description only."""
    for name, field in schema.get("properties", {}).items():
        if name in IGNORED or "type" not in field:
            continue
        place = [*path, name]
        for value in bad_values(name, field):
            yield {**body, name: value}, place
        if name in schema.get("required", ()) and field["type"] != "object" and name != "timestamp":
            yield {other: value for other, value in body.items() if other != name}, place
        if field["type"] == "array" and field["items"].get("type") == "object":
            (first, *_) = body.get(name) or [{}]
            for item, inner in broken(first, field["items"], (*place, 0)):
                yield {**body, name: [item]}, inner


def bad_values(name: str, field: dict[str, Any]) -> Iterator[Any]:
    """Values that the field cannot have."""
    yield from (WRONG[field["type"]], None)
    if field.get("minLength"):
        yield ""
    if "enum" in field:
        yield "neither"
    if "minimum" in field:
        yield field["minimum"] - 1
    if "maximum" in field:
        yield field["maximum"] + 1
    if name == "events":
        yield []


@pytest.mark.parametrize("name", list(SCHEMAS))
async def test_a_body_that_breaks_the_schema_is_refused_where_it_does(name: str, watched: Watched) -> None:
    """Each field missing, of another type, null or out of bounds: a 400 whose `errors` name it, and nothing kept."""
    world, before = watched.world, watched.kept()
    for body, place in broken(world.body(name), SCHEMAS[name]):
        answer = await world.ask(name, body)
        told = answer.json()
        assert (answer.status_code, told.get("message")) == (400, "Validation failed"), (body, answer.text)
        assert place in [issue["path"] for issue in told["errors"]], (body, answer.text)
        assert set(told) == {"statusCode", "message", "errors", "timestamp", "path"}
        assert (told["path"], told["timestamp"]) == (world.path(name), "2026-03-15T12:00:00.000Z")
        assert all({"code", "path", "message"} <= set(issue) for issue in told["errors"])
    assert watched.kept() == before


@pytest.mark.parametrize("name", list(SCHEMAS))
async def test_what_is_no_json_object_is_refused(name: str, watched: Watched) -> None:
    """Half a body, or another value: a 400, and nothing kept."""
    world, before = watched.world, watched.kept()
    for content in (b'{"a"', b"[1]", b'"x"', b"null", b"\xff", b"[" * 100_000):
        headers = {"idempotency-key": "2"}
        answer = await world.client.request(name.split()[0], world.path(name), content=content, headers=headers)
        assert answer.status_code == 400, (content[:10], answer.text)
        assert answer.json()["statusCode"] == 400
    assert watched.kept() == before


@pytest.mark.parametrize("name", NAMES)
async def test_nobody_without_a_good_key_is_served(name: str, watched: Watched) -> None:
    """In the three documented ways."""
    world, before = watched.world, watched.kept()
    for key, message in (
        ("", "Authentication required"),
        ("Bearer sk_bad", "Invalid or expired secret key"),
        ("Bearer eyJh.eyJz.c2ln", "Invalid or expired provider token"),
    ):
        answer = await world.ask(name, headers={"authorization": key})
        expected = {"statusCode": 401, "message": message, "error": "Unauthorized"}
        assert (answer.status_code, answer.json()) == (401, expected)
    assert watched.kept() == before


@pytest.mark.parametrize("name", [name for name in NAMES if "{" in name])
async def test_what_a_path_names_must_exist(name: str, watched: Watched) -> None:
    """A 404 in the provider's words, which name what is missing; nothing is kept."""
    world, before = watched.world, watched.kept()
    for parameter in re.findall(r"\{(\w+)\}", name):
        answer = await world.ask(name, path=world.path(name, **{parameter: "x_none"}))
        told = answer.json()
        assert answer.status_code == 404, answer.text
        if "payment-intents" in name:
            assert told["code"] == "PAYMENT_INTENT_NOT_FOUND"
        else:
            assert told == {"statusCode": 404, "message": UNKNOWN[parameter][0], "error": "Not Found"}
    assert watched.kept() == before


REFS_IN_BODIES = [
    (name, field)
    for name, schema in SCHEMAS.items()
    for field in ("customerRef", "productRef", "planRef")
    if field in schema["properties"] and not name.startswith("POST /v1/sdk/usages") and "meter-events" not in name
]


@pytest.mark.parametrize(("name", "field"), REFS_IN_BODIES)
async def test_what_a_body_names_must_exist(name: str, field: str, watched: Watched) -> None:
    """A 404 that says what was not found; `/activate` answers for a plan that cannot be had, and nothing is kept."""
    world, before = watched.world, watched.kept()
    answer = await world.ask(name, {**world.body(name), field: "x_none"})
    if (name, field) == ("POST /v1/sdk/activate", "planRef"):
        assert (answer.status_code, answer.json()["status"]) == (200, "invalid")
    elif name.endswith("/process") and field != "customerRef":
        assert (answer.status_code, "is for another" in answer.json()["message"]) == (400, True)
    else:
        assert (answer.status_code, answer.json()["error"]) == (404, "Not Found"), answer.text
        assert "not found" in answer.json()["message"]
    assert watched.kept() == before
