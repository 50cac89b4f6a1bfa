"""The provider's thirteen tools as the official client sees them, in its oldest and its newest protocol."""

import json
from contextlib import closing

import pytest
from mcp import Client, MCPError

from meter.sandbox.app import Sandbox
from meter.sandbox.faults.fault_list import Fault
from meter.sandbox.knobs import Knobs
from meter.sandbox.rest.calls import LIVE
from meter.sandbox.server import running
from meter.sandbox.store import Store
from tests.mcp_clients import NEW, OLD, call, mcp_client, refusal, text

EVENT = {
    "customerRef",
    "customerId",
    "productRef",
    "productReference",
    "purchaseRef",
    "actionType",
    "action",
    "units",
    "outcome",
    "idempotencyKey",
    "requestId",
    "duration",
    "actionDuration",
    "timestamp",
    "metadata",
    "description",
    "errorMessage",
}
PARAMETERS = {
    "create_customer": {"email", "name", "telephone", "metadata"},
    "ensure_customer": {"email", "name", "externalRef"},
    "create_product": {"name", "description"},
    "get_transaction_stats": {"fromDate", "toDate"},
    "get_product_balance": {"productRef"},
    "get_purchases_by_customer": {"customerRef", "status"},
    "cancel_renewal": {"purchaseRef", "purchaseId", "reason"},
    "create_checkout_session": {"customerRef", "productRef", "planRef", "returnUrl"},
    "create_refund": {"sourceTransactionRef", "sourceTransactionId", "amount", "reason"},
    "record_usage": EVENT,
    "check_limits": {"customerRef", "productRef"},
    "record_bulk_usage": {"events"},
    "create_customer_session": {"customerRef"},
}
"""What the provider documents, today and earlier."""

REQUIRED = {
    "create_customer": {"email"},
    "ensure_customer": {"email"},
    "create_product": {"name"},
    "get_product_balance": {"productRef"},
    "get_purchases_by_customer": {"customerRef"},
    "create_checkout_session": {"customerRef", "productRef"},
    "check_limits": {"customerRef", "productRef"},
    "record_bulk_usage": {"events"},
    "create_customer_session": {"customerRef"},
}
"""What must be there under the only name that it has ever had."""


@pytest.mark.parametrize("era", [OLD, NEW])
async def test_there_are_thirteen_tools_with_every_parameter_in_both_spellings(era: str) -> None:
    """Exactly thirteen; old and new names are described, and no schema refuses either."""
    with closing(Store()) as store:
        async with mcp_client(Sandbox(store), era=era) as client:
            tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
    assert set(tools) == set(PARAMETERS)
    assert len(tools) == 13
    for name, schema in tools.items():
        assert set(schema["properties"]) >= PARAMETERS[name], name
        assert set(schema.get("required", [])) == REQUIRED.get(name, set()), name
        assert all(each["description"] for each in schema["properties"].values()), name
    assert set(tools["record_bulk_usage"]["properties"]["events"]["items"]["properties"]) >= EVENT


async def test_first_names_only_if_so_wished() -> None:
    """With `strict_names` clients are shown what is then taken, and nothing else."""
    with closing(Store()) as store:
        async with mcp_client(Sandbox(store, knobs=Knobs(strict_names=True))) as client:
            tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
            sent = {"sourceTransactionId": "txn_D7E8F9G0"}
            assert "sourceTransactionRef: Required" in (await refusal(client, "create_refund", sent))["message"]
    assert set(tools["cancel_renewal"]["properties"]) == {"purchaseRef", "reason"}
    assert tools["create_refund"]["required"] == ["sourceTransactionRef"]
    assert "customerId" not in json.dumps(tools)


@pytest.mark.parametrize("era", [OLD, NEW])
async def test_the_official_client_talks_to_the_tools_over_real_connections(era: str) -> None:
    """Connect, call, be refused, ask for what is not there; and connect with a key that is wrong."""
    with closing(Store()) as store:
        async with running(Sandbox(store, key="sk_live_right")) as url:
            async with mcp_client(url=f"{url}/mcp", era=era, key="sk_live_right") as client:
                jane = await call(client, "create_customer", {"email": "jane@acme.com"})
                again = await refusal(client, "create_customer", {"email": "jane@acme.com"})
                link = await call(client, "create_customer_session", {"customerRef": jane["reference"]})
                with pytest.raises(MCPError, match="Unknown tool"):
                    await client.call_tool("delete_everything", {})
            with pytest.raises(ExceptionGroup) as failed:
                async with mcp_client(url=f"{url}/mcp", era=era, key="sk_live_wrong"):
                    pytest.fail("connected")
            assert failed.group_contains(MCPError, match="Unauthorized"), failed.value.exceptions
    assert again["code"] == "VALIDATION_ERROR"
    assert link["customerUrl"].startswith(f"{url}/customer/manage?id=")


@pytest.mark.parametrize("era", [OLD, NEW])
async def test_text_and_structure_of_a_result_are_one_object(era: str) -> None:
    """Whatever the protocol."""
    with closing(Store()) as store:
        async with mcp_client(Sandbox(store), era=era) as client:
            result = await client.call_tool("create_product", {"name": "support-bot"})
    assert json.loads(text(result)) == result.structured_content


@pytest.mark.parametrize("era", [OLD, NEW])
@pytest.mark.parametrize("kind", ["status", "cut_after_commit", "malformed"])
async def test_without_http_a_fault_of_it_is_an_error_of_the_protocol(kind: str, era: str) -> None:
    """On stdin and stdout there is no status and no connection to cut; the client is told, and goes on."""
    options = {"status": 503} if kind == "status" else {}
    fault = Fault(route="/mcp", kind=kind, count=1, **options)  # type: ignore[arg-type]  # parametrised
    with closing(Store()) as store:
        server = Sandbox(store, faults=[fault]).tool_server("sk_live_any", "localhost:1")
        async with Client(server, mode=era) as client:
            with pytest.raises(MCPError, match="has struck"):
                await client.call_tool("create_product", {"name": "support-bot"})
            product = await call(client, "create_product", {"name": "support-bot"})
        assert [environment for environment, _ in store.objects("Product")][-1] == LIVE
    assert product["name"] == "support-bot"
