"""What `meter call` finds at an endpoint: the sandbox, nobody, or something that is no MCP server."""

from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from meter.cli.mcp_endpoint import McpEndpoint
from meter.errors import BadConfiguration, CommandFailed
from meter.sandbox.app import Sandbox
from meter.sandbox.server import running
from meter.sandbox.store import Store
from tests.integration.recording_server import RecordingServer
from tests.integration.recording_server import running as recording

KEY = "sk_sandbox_call"


@pytest.fixture
async def sandbox_url() -> AsyncIterator[str]:
    """The provider, with one key."""
    with closing(Store()) as store:
        async with running(Sandbox(store, key=KEY)) as url:
            yield url


async def test_the_sandbox_lists_its_tools_and_answers(sandbox_url: str) -> None:
    """A failure of a tool is an answer, too."""
    endpoint = McpEndpoint(f"{sandbox_url}/mcp", KEY, 10)
    tools = await endpoint.tools()
    made = await endpoint.call("create_customer", {"email": "a@example.com"})
    failed = await endpoint.call("check_limits", {"customerRef": "a", "productRef": "b"})
    assert len(tools) == 13
    assert (made.is_error, failed.is_error) == (False, True)
    assert made.structured_content["data"]["email"] == "a@example.com"


async def sentence(endpoint: McpEndpoint) -> str:
    """Why it cannot be asked."""
    with pytest.raises(CommandFailed) as caught:
        await endpoint.tools()
    return str(caught.value)


async def test_whoever_cannot_be_asked_gets_one_sentence(sandbox_url: str) -> None:
    """A wrong key, nobody there, and an address without MCP."""
    wrong_key = await sentence(McpEndpoint(f"{sandbox_url}/mcp", "wrong", 10))
    assert wrong_key == f"{sandbox_url}/mcp does not accept the key: billing.secret_key must be one of its keys"
    nobody = await sentence(McpEndpoint("http://127.0.0.1:9/mcp", KEY, 10))
    assert nobody.startswith("nothing answers at http://127.0.0.1:9/mcp: ")
    not_mcp = await sentence(McpEndpoint(f"{sandbox_url}/v1/sdk/merchant", KEY, 10))
    assert not_mcp.startswith(f"{sandbox_url}/v1/sdk/merchant ")


@pytest.mark.parametrize(
    "head", ["HTTP/1.1 200 OK\r\ncontent-type: application/json", "HTTP/1.1 200 OK\r\ncontent-type: text/html", "What?"]
)
async def test_an_answer_that_is_no_mcp_is_one_sentence(head: str) -> None:
    """Whatever it is: no traceback, and the key is not shown."""
    answer = f"{head}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode()
    async with recording(RecordingServer(answers=[answer] * 4)) as server:
        told = await sentence(McpEndpoint(server.url, KEY, 2))
    assert told.startswith(server.url)
    assert "\n" not in told
    assert KEY not in told


async def test_a_silent_server_is_given_up_on() -> None:
    """After the deadline."""
    async with recording(RecordingServer()) as server:
        assert await sentence(McpEndpoint(server.url, KEY, 0.2)) == f"{server.url} did not answer in 0.2 seconds"


def test_an_address_that_no_request_can_go_to_is_a_bad_configuration() -> None:
    """By the name of the option that it came from."""
    with pytest.raises(BadConfiguration, match="--url must look like"):
        McpEndpoint("nowhere", KEY, 1, url_option="--url")
