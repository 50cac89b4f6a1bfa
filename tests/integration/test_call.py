"""`meter call` in processes of its own, against the sandbox: output, streams and exit codes."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from meter.sandbox.app import Sandbox
from meter.sandbox.server import running
from meter.sandbox.store import Store
from tests.commands import meter

KEY = "sk_sandbox_call"


@pytest.fixture
async def sandbox_url() -> AsyncIterator[str]:
    """The provider, with one key."""
    with closing(Store()) as store:
        async with running(Sandbox(store, key=KEY)) as url:
            yield url


async def call(url: str, *arguments: str, key: str = KEY) -> "subprocess.CompletedProcess[str]":
    """One `meter call` with the settings that a user would make."""
    environ = {"SOLVAPAY_API_BASE_URL": url, "SOLVAPAY_SECRET_KEY": key}
    return await asyncio.to_thread(meter, "call", *arguments, environ=environ)


async def test_tools_are_listed_and_called(sandbox_url: str, tmp_path: Path) -> None:
    """Found by the provider's address alone, by another address and a key from a file as well; nothing on stderr."""
    listed = await call(sandbox_url)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f"13 tools at {sandbox_url}/mcp" in listed.stdout
    assert "\ncheck_limits  " in listed.stdout
    assert "\n  customerRef*" in listed.stdout

    made = await call(sandbox_url, "create_customer", "email=a@example.com", "name=007")
    assert (made.returncode, made.stderr) == (0, "")
    assert "\nname: 007\n" in made.stdout
    (tmp_path / "key").write_text(f"{KEY}\n")
    elsewhere = ("--url", f"{sandbox_url}/mcp", "--key-file", str(tmp_path / "key"))
    ensured = await call("http://127.0.0.1:9", "ensure_customer", '{"email": "a@example.com"}', *elsewhere, key="wrong")
    assert "\ncreated: false\n" in ensured.stdout


async def test_json_is_what_the_protocol_has(sandbox_url: str) -> None:
    """For programs: the tools with their schemas."""
    listed = json.loads((await call(sandbox_url, "check_limits", "--list", "--json")).stdout)
    assert [tool["name"] for tool in listed["tools"]] == ["check_limits"]
    assert listed["tools"][0]["inputSchema"]["properties"]["customerRef"]["type"] == "string"


@pytest.mark.parametrize(
    ("arguments", "key", "code", "words"),
    [
        (["check_limits", "customerRef=a", "productRef=b"], KEY, 1, "check_limits failed: NOT_FOUND: Customer"),
        (["check_limits"], "wrong", 1, "does not accept the key"),
        (["no_such_tool"], KEY, 2, "has no tool no_such_tool; it has: create_customer"),
        ([], "", 2, "billing.secret_key is missing"),
    ],
)
async def test_a_failure_is_one_sentence(
    sandbox_url: str, arguments: list[str], key: str, code: int, words: str
) -> None:
    """1 when the tool or the way to it failed, 2 for a mistake of the user's; never a traceback, never the key."""
    told = await call(sandbox_url, *arguments, key=key)
    assert (told.returncode, told.stdout) == (code, "")
    assert words in told.stderr
    assert told.stderr.count("\n") == 1
    assert "Traceback" not in told.stderr
    assert KEY not in told.stderr
