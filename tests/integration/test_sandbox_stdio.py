"""`meter sandbox --stdio` as a desktop client starts it."""

import signal
import subprocess
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.commands import METER, environment
from tests.mcp_clients import NEW, OLD, call
from tests.sandboxes import event


def server(data: Path, key: str) -> StdioServerParameters:
    """How a client starts the sandbox."""
    arguments = [*METER[1:], "sandbox", "--stdio", "--port", "0", "--data", str(data)]
    return StdioServerParameters(command=METER[0], args=arguments, env=environment({"SOLVAPAY_SECRET_KEY": key}))


@pytest.mark.parametrize("era", [OLD, NEW])
async def test_the_official_client_starts_the_sandbox_and_talks_to_it(era: str, tmp_path: Path) -> None:
    """Nothing but the protocol is on stdout, or the client would not understand; what was recorded is kept."""
    with (tmp_path / "stderr").open("w+") as stderr:
        for reference_is_new in (True, False):
            transport = stdio_client(server(tmp_path / "sandbox.db", "sk_live_1"), errlog=stderr)
            async with Client(transport, mode=era) as client:
                assert len((await client.list_tools()).tools) == 13
                data = await call(client, "record_usage", event(idempotencyKey="once"))
                duplicate = data["creditDebit"]["reason"] == "duplicate"
                assert duplicate is not reference_is_new
        stderr.seek(0)
        said = stderr.read()
    assert "sandbox listens at http://127.0.0.1:" in said
    assert "Traceback" not in said


async def test_links_lead_to_pages_of_the_same_process(tmp_path: Path) -> None:
    """An agent on stdin can hand out a link that somebody opens in a browser."""
    import httpx

    with (tmp_path / "stderr").open("w") as stderr:
        transport = stdio_client(server(tmp_path / "sandbox.db", "sk_sandbox_1"), errlog=stderr)
        async with Client(transport) as client, httpx.AsyncClient() as browser:
            bob = await call(client, "ensure_customer", {"email": "bob@startup.io"})
            link = await call(client, "create_customer_session", {"customerRef": bob["reference"]})
            page = await browser.get(link["customerUrl"])
    assert page.status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_although_nobody_closes_its_input(number: signal.Signals) -> None:
    """Ctrl-C in a terminal, or a client that stops its servers."""
    command = [*METER, "sandbox", "--stdio", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(number)
        assert process.wait(60) in {-number, 128 + number}
