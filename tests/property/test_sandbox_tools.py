"""Whatever a tool is given, its answer is the envelope, and a refusal leaves nothing behind."""

import asyncio
import json
from contextlib import closing
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.mcp.tools import tools
from meter.sandbox.store import Store
from tests.sandboxes import CUSTOMER, PRODUCT, bought, client_of, known, plan_of, tool_answer

CODES = {"NOT_FOUND", "VALIDATION_ERROR"}
EMAIL = "jane@acme.com"
PURCHASE, TRANSACTION = "pur_T3U4V5W6", "txn_D7E8F9G0"
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(1, 10_000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from([EMAIL, f"{CUSTOMER}@example.com", "2026-03-15", "failure", "email", "active", "k" * 257])
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
REFERENCES = {"customer": CUSTOMER, "product": PRODUCT, "purchase": PURCHASE, "sourceTransaction": TRANSACTION}


def value_of(name: str) -> st.SearchStrategy[Any]:
    """What might stand under `name`: often the reference of something that is there."""
    for what, reference in REFERENCES.items():
        if name.startswith(what):
            return st.just(reference) | JSON
    return st.just(EMAIL) | JSON if name == "email" else JSON


def names_of(tool_name: str) -> list[str]:
    """Every name that the tool understands."""
    (found,) = [tool for tool in tools() if tool.name == tool_name]
    return [name for each in found.parameters for name in (each.name, *each.others, *each.also)]


def arguments_of(tool_name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Nearly good arguments, and whatever else."""
    fields = {name: value_of(name) for name in names_of(tool_name)}
    if tool_name == "record_bulk_usage":
        fields["events"] = st.lists(arguments_of("record_usage") | JSON, max_size=3) | JSON
    return st.fixed_dictionaries({}, optional={**fields, "x": JSON}) | st.dictionaries(st.text(max_size=8), JSON)


CALLS = st.sampled_from([tool.name for tool in tools()]).flatmap(
    lambda name: st.tuples(st.just(name), arguments_of(name))
)


async def furnished(client: httpx.AsyncClient) -> None:
    """A customer on a paid plan, with a transaction that can be refunded."""
    await known(client)
    plan = await plan_of(client, type="recurring", price=4900, billingCycle="monthly")
    purchase = await bought(client, plan)
    body = {"reference": TRANSACTION, "purchaseRef": purchase, "amount": 4900}
    (await client.post("/sandbox/transactions", json=body)).raise_for_status()


def everything(store: Store) -> list[object]:
    """All that is kept, to be compared."""
    objects = [sorted(store.objects(kind.__name__)) for kind in Catalogue.KINDS]
    return [store.totals(), store.usages_after(0, 1000), objects]


@given(call=CALLS)
@settings(max_examples=100)
def test_a_tool_answers_with_its_envelope_and_a_refusal_leaves_nothing_behind(call: tuple[str, dict[str, Any]]) -> None:
    """Arbitrary arguments give success, NOT_FOUND or VALIDATION_ERROR; what was refused has changed nothing."""
    name, arguments = call

    async def answered() -> None:
        with closing(Store()) as store:
            async with client_of(store) as client:
                await furnished(client)
                before = everything(store)
                answer = await tool_answer(client, name, arguments)
                assert answer.status_code == 200, answer.text
                result = answer.json()["result"]
                (block,) = result["content"]
                assert json.loads(block["text"]) == result["structuredContent"]
                if result["isError"]:
                    assert set(result["structuredContent"]["error"]) == {"code", "message"}
                    assert result["structuredContent"]["error"]["code"] in CODES
                    assert everything(store) == before
                else:
                    assert set(result["structuredContent"]) == {"success", "data"}

    asyncio.run(answered())


META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize(
    "value",
    [b'"\\ud800"', b"1" + b"0" * 40, b"NaN", b"Infinity", b"[" * 150 + b"]" * 150, b"[" * 5000 + b"]" * 5000],
    ids=["half a character", "40 digits", "NaN", "Infinity", "deep", "too deep"],
)
@pytest.mark.parametrize("name", ["metadata", "customerRef"])
async def test_no_value_that_json_hardly_has_gives_a_500(name: str, value: bytes, *, new: bool) -> None:
    """Refused by the tool, or below it as no JSON at all."""
    params: dict[str, Any] = {"name": "record_usage", "arguments": {"customerRef": CUSTOMER, name: "VALUE"}}
    headers = {"accept": "application/json", "content-type": "application/json"}
    if new:
        params["_meta"] = META
        headers |= {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "record_usage"}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    async with client_of() as client:
        answer = await client.post("/mcp", content=body.replace(b'"VALUE"', value), headers=headers)
        kept = (await client.get("/sandbox/totals")).json()["usages"]
    assert answer.status_code in {200, 400}, answer.text
    told = answer.json()
    if "error" in told:
        assert told["error"]["code"] in {-32700, -32602, -32600}, told
        assert kept == 0
    else:
        assert kept == (0 if told["result"]["isError"] else 1)
