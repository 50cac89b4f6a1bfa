"""The sandbox as a process and over real connections: cuts, delays, stopping, kill -9."""

import asyncio
import json
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from meter.sandbox.app import Sandbox
from meter.sandbox.server import listen, running
from meter.sandbox.store import CannotOpenError, Store
from tests.commands import meter, sandbox_process
from tests.sandboxes import BULK, USAGES, event, rows
from tests.waiting import eventually

KEY = {"x-api-key": "sk_sandbox_test"}


@asynccontextmanager
async def served(*faults: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox on a free port, with faults on the bulk route."""
    with closing(Store()) as store:
        async with running(Sandbox(store)) as url, httpx.AsyncClient(base_url=url, headers=KEY) as client:
            put = await client.put("/sandbox/faults", json=[{"route": BULK, **fault} for fault in faults])
            assert put.status_code == 200, put.text
            yield client


def batch(number: int, size: int = 100) -> dict[str, Any]:
    """Events with keys of their own."""
    return {"events": [event(idempotencyKey=f"{number}-{index}") for index in range(size)]}


@pytest.mark.parametrize(("kind", "kept"), [("cut_before_commit", 0), ("cut_after_commit", 100)])
async def test_a_cut_resets_the_connection(kind: str, kept: int, capfd: pytest.CaptureFixture[str]) -> None:
    """The client sees a broken connection and no byte of an answer; the server goes on and prints nothing."""
    async with served({"kind": kind, "count": 1}) as client:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await client.post(BULK, json=batch(1))
        assert (await client.get("/sandbox/totals")).json()["usages"] == kept
        assert (await client.post(BULK, json=batch(1))).status_code == 200
        assert (await client.get("/sandbox/totals")).json()["usages"] == 100
    assert capfd.readouterr() == ("", "")


async def test_a_delay_holds_up_nobody_else() -> None:
    """While one request waits, others are answered; then it is recorded."""
    async with served({"kind": "delay", "seconds": 2, "count": 1}) as client:
        slow = asyncio.create_task(client.post(BULK, json=batch(1)))
        await eventually(lambda: _struck(client), 60, "the delayed request has arrived")
        assert (await client.post(BULK, json=batch(2))).status_code == 200
        assert not slow.done()
        assert (await slow).status_code == 200
        assert (await client.get("/sandbox/totals")).json()["usages"] == 200


async def test_a_delayed_request_is_recorded_although_its_client_has_left() -> None:
    """A timeout at the client says nothing about what the provider does."""
    async with served({"kind": "delay", "seconds": 2}) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(BULK, json=batch(1), timeout=0.2)
        await eventually(lambda: _usages(client, 100), 60, "the abandoned request was recorded")


async def test_late_commit_inserts_after_the_client_has_gone() -> None:
    """Nothing while the client waits; everything a while after it has given up."""
    async with served({"kind": "late_commit", "seconds": 2}) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(BULK, json=batch(1), timeout=0.2)
        assert not await _usages(client, 100)
        await eventually(lambda: _usages(client, 100), 60, "the late insert has happened")


async def test_a_client_that_leaves_in_the_middle_harms_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    """Half a request is no request, and no reason to print anything."""
    async with served() as client:
        port = client.base_url.port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST /v1/sdk/usages HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")
        assert (await client.post(BULK, json=batch(1))).status_code == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["delay", "late_commit"])
async def test_stopping_waits_for_no_fault(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A request that a fault holds for minutes is cut when the server stops, quietly and unrecorded."""
    with closing(Store()) as store:
        async with httpx.AsyncClient(headers=KEY) as client:
            async with running(Sandbox(store)) as url, asyncio.timeout(60):
                await client.put(f"{url}/sandbox/faults", json=[{"route": BULK, "kind": kind, "seconds": 600}])
                slow = asyncio.create_task(client.post(f"{url}{BULK}", json=batch(1)))
                await eventually(lambda: _struck(client, url), 60, "the delayed request has arrived")
            with pytest.raises(httpx.TransportError):
                await slow
        assert store.totals().usages == 0
    assert capfd.readouterr() == ("", "")


async def test_stopping_waits_for_no_slow_client(capfd: pytest.CaptureFixture[str]) -> None:
    """A client that never finishes its request does not keep the server, nor make it complain."""
    with closing(Store()) as store, socket.socket() as slow:
        async with running(Sandbox(store)) as url, asyncio.timeout(60):
            slow.connect(("127.0.0.1", httpx.URL(url).port))
            slow.sendall(b"POST /v1/sdk/usages HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")
            async with httpx.AsyncClient(headers=KEY) as client:
                assert (await client.get(f"{url}/sandbox/totals")).status_code == 200
    assert capfd.readouterr() == ("", "")


async def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    """Killed in the middle of a load: after the restart every acknowledged event is there, none twice, batches whole.

    Whoever saw no answer, or does not trust it, sends again: nothing is counted a second time.
    """
    data = str(tmp_path / "sandbox.db")
    acknowledged: list[int] = []
    with sandbox_process("--data", data) as (killed, url):
        async with httpx.AsyncClient(base_url=url, headers=KEY) as client:

            async def load(start: int) -> None:
                for number in range(start, 100_000, 4):
                    answer = await client.post(BULK, json=batch(number))
                    acknowledged.append(number)
                    assert answer.status_code == 200

            loads = [asyncio.create_task(load(start)) for start in range(4)]
            await eventually(lambda: len(acknowledged) >= 20, 60, "twenty batches are acknowledged")
            killed.kill()
            results = await asyncio.gather(*loads, return_exceptions=True)
            assert all(isinstance(result, httpx.TransportError) for result in results), results
    with sandbox_process("--data", data) as (_, url):
        async with httpx.AsyncClient(base_url=url, headers=KEY) as client:
            keys = [row["idempotencyKey"] for row in await rows(client)]
            assert len(keys) == len(set(keys))
            assert {f"{number}-{index}" for number in acknowledged for index in range(100)} <= set(keys)
            assert len(keys) % 100 == 0
            for number in acknowledged:
                (await client.post(BULK, json=batch(number))).raise_for_status()
            totals = (await client.get("/sandbox/totals")).json()
    assert (totals["usages"], totals["duplicates"]) == (len(keys), 100 * len(acknowledged))


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """Keys, references, allowance and totals survive; a repeat after the restart is still a repeat."""
    data = str(tmp_path / "sandbox.db")
    references: list[str] = []
    for expected in ("plan_not_credit_based", "duplicate"):
        with sandbox_process("--data", data) as (running_process, url):
            async with httpx.AsyncClient(base_url=url, headers=KEY) as client:
                if not references:
                    await client.post("/sandbox/customers", json={"reference": "cus_1"})
                    await client.post("/sandbox/products", json={"reference": "prd_1", "plan": {"freeUnits": 9}})
                refs = {"customerRef": "cus_1", "productRef": "prd_1"}
                await client.post("/v1/sdk/limits", json=refs)
                answer = (await client.post(USAGES, json={**refs, "units": 4, "idempotencyKey": "k"})).json()
                assert answer["creditDebit"]["reason"] == expected
                assert (await client.post("/v1/sdk/limits", json=refs)).json()["remaining"] == 5
                assert len(await rows(client)) == 1
            references.append(answer["reference"])
            running_process.terminate()
            assert running_process.wait(60) == 0
    assert references[0] == references[1]


async def test_demo_data_are_loaded_once_into_a_file(tmp_path: Path) -> None:
    """The welcome tells of them; a second start with the same file finds them as they were left."""
    data = str(tmp_path / "sandbox.db")
    question = {"customerRef": "cus_X7Y8Z9W0", "productRef": "prd_P9Q0R1S2"}
    for used in (87, 88):
        with sandbox_process("--data", data, "--demo-data") as (running_process, url):
            async with httpx.AsyncClient(base_url=url, headers=KEY) as client:
                assert (await client.post("/v1/sdk/limits", json=question)).json()["remaining"] == 100 - used
                assert len((await client.get("/sandbox/transactions")).json()["transactions"]) == 84
                await client.post(USAGES, json=question)
            running_process.terminate()
            assert running_process.wait(60) == 0
    with closing(Store(tmp_path / "own.db")) as store:
        async with running(Sandbox(store)) as url, httpx.AsyncClient() as client:
            await client.post(f"{url}/sandbox/customers", json={"reference": "cus_1"})
    assert "demo data" in _refused("--port", "0", "--data", str(tmp_path / "own.db"), "--demo-data")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_it_cleanly(number: signal.Signals) -> None:
    """Exit 0 and nothing on stderr, idle connections or not."""
    with sandbox_process() as (running_process, url):
        async with httpx.AsyncClient(base_url=url, headers=KEY) as client:
            assert (await client.post(BULK, json=batch(1))).status_code == 200
            running_process.send_signal(number)
            assert await asyncio.to_thread(running_process.wait, 10) == 0
        assert running_process.stderr is not None
        assert running_process.stderr.read() == ""


async def test_only_the_given_key_opens_it_and_faults_come_from_a_file(tmp_path: Path) -> None:
    """`--key` and `--faults` do what they say, and a reset turns the file's faults on again."""
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"route": BULK, "kind": "status", "status": 503, "count": 1}]))
    with sandbox_process("--key", "sk_1", "--faults", str(faults)) as (_, url):
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.post(BULK, json=batch(1), headers=KEY)).status_code == 401
            good = {"x-api-key": "sk_1"}
            assert [(await client.post(BULK, json=batch(1), headers=good)).status_code for _ in "12"] == [503, 200]
            await client.post("/sandbox/reset")
            assert (await client.post(BULK, json=batch(1), headers=good)).status_code == 503


def _refused(*arguments: str) -> str:
    """What `meter sandbox` says before it exits with 2."""
    ended = meter("sandbox", *arguments)
    assert ended.returncode == 2, ended
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    return ended.stderr


def test_a_knob_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    """Wherever it was turned: exit 2, with its name."""
    config = tmp_path / "knobs.toml"
    config.write_text("[sandbox]\nstrict_costumer = true\n")
    assert "strict_costumer" in _refused("--port", "0", "--config", str(config))


async def test_knobs_come_from_the_configuration(tmp_path: Path) -> None:
    """A section of its own, in the file that other commands read as well."""
    config = tmp_path / "meter.toml"
    config.write_text("[batch]\nmax_events = 10\n[sandbox]\nstrict_customer = true\n")
    with sandbox_process("--config", str(config)) as (_, url):
        async with httpx.AsyncClient(base_url=url, headers=KEY) as client:
            assert (await client.post(BULK, json=batch(1))).status_code == 404


def test_a_port_in_use_is_one_sentence() -> None:
    """Exit 2, with the address in it."""
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}: " in _refused("--port", port)


def test_a_key_that_is_empty_is_one_sentence() -> None:
    """An unset variable must not lock everybody out, nor let everybody in."""
    assert "--key must not be empty" in _refused("--port", "0", "--key", "")


def test_a_data_file_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    """A folder that is missing, no database, a sandbox's in use, another program's database: exit 2."""
    other = tmp_path / "other"
    other.write_text("this is no database, but it is long enough to be looked at as if it were one. " * 20)
    used, foreign = tmp_path / "used.db", tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as database:
        database.execute("CREATE TABLE usages (a)")
    with closing(Store(used)):
        for path in (tmp_path / "nowhere" / "x.db", other, used, foreign):
            assert str(path) in _refused("--port", "0", "--data", str(path))


def test_bad_faults_are_one_sentence(tmp_path: Path) -> None:
    """A file that is missing and one that means nothing: exit 2, with its name."""
    bad = tmp_path / "faults.json"
    bad.write_text('[{"route": "/v1/sdk/limits", "kind": "explode"}]')
    assert "explode" in _refused("--port", "0", "--faults", str(bad))
    assert "nothing.json" in _refused("--port", "0", "--faults", str(tmp_path / "nothing.json"))


def test_one_file_has_one_sandbox(tmp_path: Path) -> None:
    """Two processes over one file would each count alone."""
    with closing(Store(tmp_path / "x.db")), pytest.raises(CannotOpenError, match="locked"):
        Store(tmp_path / "x.db")


async def _struck(client: httpx.AsyncClient, url: str = "") -> bool:
    return bool((await client.get(f"{url}/sandbox/faults")).json()[0]["struck"])


async def _usages(client: httpx.AsyncClient, count: int) -> bool:
    return bool((await client.get("/sandbox/totals")).json()["usages"] == count)


async def test_an_offer_of_http_2_is_answered_in_http_1() -> None:
    """Java's own client makes one with every request over plain text; its body counts all the same."""
    async with served() as client:
        offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAEAAEAAAAIAAAAB"}
        for number in range(2):
            answer = await client.post(BULK, json=batch(number), headers=offer)
            assert answer.status_code == 200, answer.text
        assert (await client.get("/sandbox/totals")).json()["usages"] == 200
