"""The demo as a user starts it, with fewer events; and that its verdict sees what is wrong in real topics and rows."""

import asyncio
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from meter.demo.processes import SECRET_KEY
from meter.demo.reconciliation import BILLED_TWICE, LOST
from tests.brokers import Broker, MakeTopic, admin_of, records_in
from tests.commands import METER, environment
from tests.integration.books import usage, usages
from tests.integration.daemon import Installation, installation
from tests.waiting import eventually

VERDICT_SECONDS = 200.0


@pytest.mark.timeout(240)
def test_a_short_demo_is_killed_half_way_and_balances_its_books() -> None:
    """Exit 0 and one verdict line, after a SIGKILL while events were held and a "no" from the limits."""
    told = subprocess.run(
        [*METER, "demo", "--events", "4000"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "SIGKILL: meter is gone; it held " in told.stdout
    assert 'limits: "no" on the free plan' in told.stdout
    audit, verdict = told.stdout.splitlines()[-2:]
    assert audit.startswith("meter audit: every one of 4,000 offsets has exactly one end (")
    assert "; the provider has the same 3,860 events and " in audit
    assert verdict.startswith("OK  3,860 events billed exactly once, 20 invalid ones in the dead letters")
    assert "\x1b" not in told.stdout, "piped output has control characters"


@asynccontextmanager
async def kept_demo() -> AsyncIterator[asyncio.subprocess.Process]:
    """`meter demo --keep`; ended with force if the test has not ended it."""
    command = [*METER, "demo", "--events", "2000", "--keep"]
    demo = await asyncio.create_subprocess_exec(*command, env=environment(), stdout=asyncio.subprocess.PIPE)
    try:
        yield demo
    finally:
        if demo.returncode is None:
            demo.send_signal(signal.SIGTERM)
        await demo.communicate()


async def told(demo: asyncio.subprocess.Process, pattern: str) -> re.Match[str]:
    """The first line from here on in which this stands."""
    assert demo.stdout is not None
    async with asyncio.timeout(VERDICT_SECONDS):
        while line := (await demo.stdout.readline()).decode():
            if found := re.search(pattern, line):
                return found
    pytest.fail(f"the demo has ended without {pattern}")


def is_folder(path: str) -> bool:
    return Path(path).is_dir()


@pytest.mark.timeout(300)
async def test_a_demo_that_is_kept_with_a_row_that_nobody_produced_ends_with_exit_code_1() -> None:
    """The verdict is red and names the row; everything goes on running at the addresses printed, until Ctrl-C.

    Then logs and data stay: somebody will want to know why.
    """
    async with kept_demo() as demo, httpx.AsyncClient(timeout=30, trust_env=False) as client:
        sandbox = (await told(demo, r"sandbox +(http://127\.0\.0\.1:\d+), process"))[1]
        await told(demo, "meter +http://.*, process")
        foreign = {"customerRef": "cus_1", "units": 1, "idempotencyKey": "foreign"}
        key = {"Authorization": f"Bearer {SECRET_KEY}"}
        (await client.post(f"{sandbox}/v1/sdk/usages", json=foreign, headers=key)).raise_for_status()

        await told(demo, "^FAILED  the books do not balance")
        await told(demo, r"rows at the provider that nobody produced \(1\): foreign")
        assert (await told(demo, r"sandbox +(\S+)/sandbox/totals"))[1] == sandbox
        meter = (await told(demo, r"meter +(\S+)/status, /metrics, /readyz"))[1]
        folder = (await told(demo, r"logs +(\S+)/\*\.log"))[1]
        await told(demo, "^Ctrl-C stops everything")
        assert (await client.get(f"{meter}/readyz")).json() == {"reasons": []}
        assert (await client.get(f"{sandbox}/sandbox/totals")).is_success

        demo.send_signal(signal.SIGINT)
        await demo.communicate()
        assert (demo.returncode, is_folder(folder)) == (1, True)
        shutil.rmtree(folder)
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{meter}/readyz")


async def test_a_row_removed_a_row_doubled_and_a_dead_letter_missing_are_each_found(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """The demo's evidence and its verdict, on a real topic and a real sandbox that have been tampered with."""
    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox(key_life_seconds=0.1)
        await place.start_meter()
        await place.produce(usages(400, invalid_every=100))
        await place.everything_ended()
        await place.books_balance()

        await bill_again(place, 7)
        assert await titles(place) == {BILLED_TWICE}

        place.sandbox.kill()
        with closing(sqlite3.connect(tmp_path / "sandbox.sqlite")) as rows, rows:
            assert rows.execute("DELETE FROM usages WHERE idempotency_key = 'event-8'").rowcount == 1
        await place.start_sandbox()
        assert await titles(place) == {BILLED_TWICE, LOST}

        letters = f"{place.topic}-dead-letters"
        partition = (await records_in(place.servers, letters))[0].partition
        async with admin_of(place.servers) as admin:
            await admin.delete_records({TopicPartition(letters, partition): RecordsToDelete(1)})
        no_letter, no_end = (
            "invalid records without a dead letter",
            "records without an end in receipts or dead letters",
        )
        assert await titles(place) == {BILLED_TWICE, LOST, no_letter, no_end}


async def titles(place: Installation) -> set[str]:
    """What is wrong, in the demo's words."""
    return {fault.title for fault in await place.faults_in_the_books()}


async def bill_again(place: Installation, number: int) -> None:
    """Usage event `number` becomes a second row, now that the provider has forgotten its key."""
    billed = (await place.sandbox.totals())["usages"]
    value = usage(number).value
    assert value is not None

    async def is_billed() -> bool:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            address, headers = f"{place.sandbox.url}/v1/sdk/usages", {"Authorization": "Bearer any"}
            (await client.post(address, content=value, headers=headers)).raise_for_status()
        return bool((await place.sandbox.totals())["usages"] == billed + 1)

    await eventually(is_billed, 60, "it is billed again")
