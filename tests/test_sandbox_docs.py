"""What the documents say about the sandbox is compared with its code, or executed."""

import re
from typing import get_args, get_type_hints

import msgspec

from meter.sandbox.faults import fault_list
from meter.sandbox.knobs import Knobs
from meter.sandbox.webhooks.endpoints import EVENT_TYPES
from tests import doc_tables
from tests.doc_tables import README, ROOT, blocks, table
from tests.sandboxes import LIMITS, client_of

SANDBOX = ROOT / "docs" / "sandbox.md"


def test_every_knob_of_the_sandbox_is_explained_with_its_default() -> None:
    """What a knob says of itself is what the document says."""
    said = dict(re.findall(r"^ +(\w+) {2,}(.+)$", Knobs.__doc__ or "", re.MULTILINE))
    fields = msgspec.structs.fields(Knobs)
    assert table(SANDBOX, "Knobs") == [
        (f"`{field.name}`", f"`{msgspec.json.encode(field.default).decode()}`", said[field.name]) for field in fields
    ]


def test_every_tool_of_the_sandbox_is_explained() -> None:
    """Each with what it takes, in which words, and the route that does the same."""
    assert table(SANDBOX, "MCP") == doc_tables.sandbox_tools()
    assert table(SANDBOX, "Names of parameters") == doc_tables.sandbox_parameters()


def test_every_fault_of_the_sandbox_is_explained() -> None:
    """The kinds are those that a list of faults may name."""
    kinds = get_args(get_type_hints(fault_list.Fault)["kind"])
    assert [row[0] for row in table(SANDBOX, "Faults")] == [f"`{kind}`" for kind in kinds]


def test_every_event_of_the_sandbox_is_explained() -> None:
    """The types that it can send, in the words of its own list."""
    known = [(f"`{name}`", f"{told[0].lower()}{told[1:]}") for events in EVENT_TYPES.values() for name, told in events]
    assert table(SANDBOX, "Webhooks") == known


async def test_what_the_readme_tells_the_sandbox_is_what_it_understands() -> None:
    """After the two calls to copy, the customer of the examples may go on with the product of the examples."""
    lines = "\n".join(blocks(README, "sh"))
    calls = re.findall(r"^curl -d '([^']+)' http://127\.0\.0\.1:8484(\S+)$", lines, re.MULTILINE)
    assert len(calls) == 2
    async with client_of() as client:
        for body, path in calls:
            (await client.post(path, content=body)).raise_for_status()
        question = {"customerRef": "cus_A1B2C3D4", "productRef": "prd_P9Q0R1S2"}
        answer = (await client.post(LIMITS, json=question)).raise_for_status().json()
    assert (answer["withinLimits"], answer["remaining"]) == (True, 100)
