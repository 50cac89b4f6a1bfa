"""`meter call` without a network: what the words of a command line mean, and how tools and answers are shown."""

import json
from typing import Any

import mcp_types as types
import pytest

from meter.cli.tool_arguments import read_arguments
from meter.cli.tool_page import answer, listing, problem
from meter.errors import UserMistake

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "A name."},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "amount": {"type": "integer"},
        "either": {"type": ["string", "integer"]},
        "events": {"type": "array"},
        "free": {},
    },
    "required": ["name"],
}


def result(said: object, *, structured: bool = True, failed: bool = False) -> types.CallToolResult:
    """An answer of a tool."""
    text = said if isinstance(said, str) else json.dumps(said)
    content: Any = said if structured else None
    return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=content, is_error=failed)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("name=007", {"name": "007"}),
        ("name=true", {"name": "true"}),
        ("note=1.5", {"note": "1.5"}),
        ("amount=2500", {"amount": 2500}),
        ("amount=lots", {"amount": "lots"}),
        ("either=7", {"either": 7}),
        ('events=[{"units":1}]', {"events": [{"units": 1}]}),
        ("free=true", {"free": True}),
        ("free=null", {"free": None}),
        ("free=NaN", {"free": "NaN"}),
        ("free=a=b", {"free": "a=b"}),
        ("free=", {"free": ""}),
        ("unheard_of=-1.5e3", {"unheard_of": -1500.0}),
        ('{"name": "x", "amount": "1"}', {"name": "x", "amount": "1"}),
    ],
)
def test_a_word_is_read_as_the_schema_says(word: str, expected: dict[str, Any]) -> None:
    """What the schema calls text stays text; anything else is JSON if it can be."""
    assert read_arguments([word], SCHEMA) == expected


def test_objects_and_pairs_go_together() -> None:
    """The large part as JSON, the small ones by hand."""
    assert read_arguments(['{"amount": 1}', "name=a"], SCHEMA) == {"amount": 1, "name": "a"}


@pytest.mark.parametrize("words", [["x"], ["=1"], ["{"], ['{"a":1} x'], ["a=1", "a=2"], ['{"a":1}', "a=2"], ["[1]"]])
def test_a_word_that_is_neither_is_a_mistake(words: list[str]) -> None:
    """One sentence, before anything is asked."""
    with pytest.raises(UserMistake):
        read_arguments(words, SCHEMA)


def test_a_schema_may_be_anything() -> None:
    """It comes from somebody else's server."""
    odd: list[dict[str, Any]] = [
        {},
        {"properties": 7},
        {"properties": {"a": 7}},
        {"properties": {"a": {"anyOf": [{}]}}},
    ]
    for schema in odd:
        assert read_arguments(["a=1"], schema) == {"a": 1}
        list(listing([types.Tool(name="t", input_schema=schema)], "http://x"))


def test_a_tool_is_listed_with_its_parameters() -> None:
    """Name, type and description in columns; required ones have a mark."""
    tool = types.Tool(name="rename", description="Gives it\na name.", input_schema=SCHEMA)
    assert list(listing([tool], "http://x/mcp")) == [
        "1 tool at http://x/mcp (* required)",
        "",
        "rename  Gives it a name.",
        "  name*   string          A name.",
        "  note    string|null",
        "  amount  integer",
        "  either  string|integer",
        "  events  array",
        "  free    any",
    ]


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("wrap", [lambda data: {"success": True, "data": data}, lambda data: data])
def test_an_answer_is_shown_without_its_envelope(wrap: Any, structured: bool) -> None:
    """Members on lines of their own."""
    data = {"reference": "cus_1", "plans": [{"name": "Free", "free": True}, {"name": "Pro"}], "none": [], "tags": ["a"]}
    found = result(wrap(data), structured=structured)
    assert problem(found) is None
    assert list(answer(found)) == [
        "reference: cus_1",
        "plans:",
        "  - name: Free",
        "    free: true",
        "  - name: Pro",
        "none: []",
        "tags:",
        "  - a",
    ]


def test_an_answer_cannot_steer_the_terminal() -> None:
    """Whatever a tool says, what is shown is printable."""
    assert list(answer(result("one\n\x1b[31mtwo", structured=False))) == ["one", " [31mtwo"]
    assert list(answer(result({"a\x1b": "b\nc"}))) == ["a : b c"]


@pytest.mark.parametrize(
    ("said", "failed", "expected"),
    [
        ({"success": False, "error": {"code": "NOT_FOUND", "message": "No\nsuch"}}, True, "NOT_FOUND: No such"),
        ({"success": False, "error": {"code": "NOT_FOUND", "message": "No"}}, False, "NOT_FOUND: No"),
        ({"success": False, "error": "No"}, False, "No"),
        ("It broke", True, "It broke"),
        ({"why": 7}, True, '{"why": 7}'),
        ("", True, "no reason given"),
    ],
)
def test_a_failure_is_one_line(said: object, failed: bool, expected: str) -> None:
    """By the envelope, whatever the protocol's own mark says, or by that mark."""
    assert problem(result(said, structured=isinstance(said, dict), failed=failed)) == expected
