"""`meter run` and `meter sandbox` as real processes that a test starts, watches from outside, and ends.

    async with installation(broker.bootstrap_servers, await topic(), tmp_path) as place:
        await place.start_sandbox()
        meter = await place.start_meter(kafka__start_from="earliest")
        await place.produce(usages(20_000))
        meter.kill()

Whatever a test has started is gone when the block ends; when it fails, the ends of all logs are shown.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from meter.demo.reconciliation import Fault
from meter.localkafka.ports import any_free
from tests.integration.books import Ledger, Planned, Rows, added_up, faults_in_the_books, produce, rows_at
from tests.waiting import eventually

BULK_ROUTE = "/v1/sdk/usages/bulk"
SLOW = {"route": BULK_ROUTE, "kind": "delay", "seconds": 0.1}
KEY = "sk_sandbox_test"
LOG_TAIL_LINES = 40
FRESH = httpx.Limits(keepalive_expiry=1.0)
"""Servers close a connection that has been idle for five seconds: none is used for a request at that very moment."""
START_SECONDS = 60.0
"""For a process to answer, on a machine that does much else."""

OVER_BOTH = pytest.mark.parametrize("transport", ["rest", "mcp"])
"""A fault for a route of the provider strikes the tool that does the same, too."""

OPTIONS: Mapping[str, object] = {
    "kafka__session_timeout_seconds": 6,  # the shortest that a broker allows
    "billing__timeout_seconds": 2,
    "billing__max_in_flight": 2,
    "batch__max_events": 250,
    "log__format": "json",
}
"""A quick session, and batches so small that the work takes seconds at 0.1 s a request."""


class Program:
    """One `python -m meter ...` process, its environment free of what the developer has set for a meter of theirs."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], folder: Path, name: str) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("METER_", "SOLVAPAY_"))}
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "meter", *arguments],
                env=inherited | dict(environ),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """Everything it has written."""
        return self.log_file.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait(60)

    async def stop(self) -> None:
        """SIGTERM, and the good end that must follow."""
        self.signal(signal.SIGTERM)
        assert await self.end() == 0

    async def end(self, limit_seconds: float = 60.0) -> int:
        """Its exit code, once it has ended."""
        await eventually(lambda: not self.is_running, limit_seconds, f"{self.name} ends")
        return int(self._process.returncode)

    def log_tail(self) -> str:
        """The end of its log, under its name."""
        state = "running" if self.is_running else f"exit {self._process.returncode}"
        return "\n".join([f"--- {self.name} ({state})", *self.log.splitlines()[-LOG_TAIL_LINES:], ""])


class Asked:
    """A program that answers over HTTP."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.AsyncClient(base_url=self.url, timeout=30, limits=FRESH, trust_env=False)

    async def ask(self, method: str, path: str, body: object = None) -> httpx.Response | None:
        """Its answer; None while it does not answer at all."""
        try:
            return await self._client.request(method, path, json=body)
        except httpx.TransportError:
            return None

    async def json(self, method: str, path: str, body: object = None) -> Any:
        """The content of its answer, which must be a good one."""
        answer = await self.ask(method, path, body)
        assert answer is not None, f"{self.program.name} does not answer to {method} {path}"
        assert answer.is_success, f"{self.program.name}: {answer.status_code} {answer.text}"
        return answer.json()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.program.kill()

    async def close(self) -> None:
        """Forget the connections."""
        await self._client.aclose()


class Sandbox(Asked):
    """The provider."""

    async def answers(self) -> bool:
        """Whether it is up."""
        return await self.ask("GET", "/sandbox/totals") is not None

    async def totals(self) -> Mapping[str, int]:
        """`usages`, `units`, `duplicates`, `requests`."""
        totals: Mapping[str, int] = await self.json("GET", "/sandbox/totals")
        return totals

    async def fail(self, *faults: Mapping[str, object]) -> None:
        """From now on these faults, and no others."""
        await self.json("PUT", "/sandbox/faults", list(faults))

    async def struck(self, kind: str) -> int:
        """How often faults of this kind have struck."""
        return sum(fault["struck"] for fault in await self.json("GET", "/sandbox/faults") if fault["kind"] == kind)


class Meter(Asked):
    """One replica."""

    async def status(self) -> Mapping[str, Any]:
        """The body of `/status`."""
        status: Mapping[str, Any] = await self.json("GET", "/status")
        return status

    async def answers(self) -> bool:
        """Whether its HTTP server is up."""
        return await self.ask("GET", "/healthz") is not None

    async def reasons(self) -> list[str]:
        """Why it is not ready, from `/readyz`; empty when it is."""
        answer = await self.ask("GET", "/readyz")
        assert answer is not None, f"{self.program.name} does not answer"
        reasons: list[str] = answer.json()["reasons"]
        assert answer.status_code == (503 if reasons else 200)
        return reasons

    async def partitions(self) -> frozenset[int]:
        """Those that it has now; none while it does not answer."""
        answer = await self.ask("GET", "/status")
        return frozenset(row["partition"] for row in answer.json()["partitions"]) if answer is not None else frozenset()

    async def ready(self) -> bool:
        """Whether it says so itself."""
        answer = await self.ask("GET", "/readyz")
        return answer is not None and answer.is_success

    async def says(self, words: str, limit_seconds: float = 60.0) -> str:
        """The reason of `/readyz` with these words in it, once there is one."""

        async def reason() -> str:
            return next((reason for reason in await self.reasons() if words in reason), "")

        return await eventually(reason, limit_seconds, f"/readyz says {words}")


class Installation:
    """A topic, a provider and any number of meters of one group; and the books of what was produced."""

    def __init__(self, servers: str, topic: str, folder: Path, transport: str) -> None:
        self.servers = servers
        self.transport = transport
        self.topic = topic
        self.group = f"{topic}-group"
        self.ledger = Ledger()
        self.meters: list[Meter] = []
        self._folder = folder
        self._programs: list[Program] = []
        self._asked: list[Asked] = []
        self._sandbox: Sandbox | None = None
        self._sandbox_port = any_free()

    @property
    def sandbox(self) -> Sandbox:
        """The provider, which must have been started."""
        assert self._sandbox is not None
        return self._sandbox

    async def start_sandbox(self, *faults: Mapping[str, object], key: str | None = None, **knobs: object) -> Sandbox:
        """Start the provider, and again after a `kill` at the same address with the same rows; it answers."""
        arguments = ["sandbox", "--port", str(self._sandbox_port), "--data", str(self._folder / "sandbox.sqlite")]
        environ = {f"METER_SANDBOX__{knob.upper()}": str(value) for knob, value in knobs.items()}
        program = self._start("sandbox", [*arguments, *(["--key", key] if key else [])], environ)
        self._sandbox = Sandbox(program, self._sandbox_port)
        self._asked.append(self._sandbox)
        await eventually(self._sandbox.answers, START_SECONDS, "the sandbox answers")
        await self._sandbox.fail(*faults)
        return self._sandbox

    async def start_meter(self, **options: object) -> Meter:
        """Start a meter with these options (`kafka__start_from=...`) over `OPTIONS`; its HTTP server answers."""
        port = any_free()
        meter = Meter(self.start_program("meter", ["run"], **{"http__port": port, **options}), port)
        self._asked.append(meter)
        self.meters.append(meter)
        await eventually(meter.answers, START_SECONDS, f"{meter.program.name} answers")
        return meter

    def start_program(self, name: str, arguments: Sequence[str], **options: object) -> Program:
        """Start any command with the environment of a meter; it need not live."""
        everything = {
            "kafka__bootstrap_servers": self.servers,
            "kafka__topic": self.topic,
            "kafka__group_id": self.group,
            "kafka__start_from": "earliest",
            "billing__base_url": f"http://127.0.0.1:{self._sandbox_port}",
            "billing__secret_key": KEY,
            "billing__transport": self.transport,
            **OPTIONS,
            **options,
        }
        environ = {f"METER_{option.upper()}": str(value) for option, value in everything.items() if value is not None}
        return self._start(name, arguments, environ)

    async def produce(self, planned: Iterable[Planned], compression: str | None = "lz4") -> None:
        """Send these records to the topic and enter them in the books."""
        await produce(self.servers, self.topic, planned, self.ledger, compression)

    async def strike_moment(self, billed_from: int, all_billed: int) -> None:
        """Return in the middle of the work: so many are billed, others are held."""

        async def reached() -> bool:
            return (await self.sandbox.totals())["usages"] >= billed_from

        await eventually(reached, 60, f"{billed_from} events are billed")
        held = added_up([await meter.status() for meter in self.running_meters()])["held"]
        billed = (await self.sandbox.totals())["usages"]
        assert 0 < billed < all_billed, billed
        assert held > 0

    def running_meters(self) -> list[Meter]:
        """Those that have not ended."""
        return [meter for meter in self.meters if meter.program.is_running]

    async def everything_ended(self, limit_seconds: float = 120.0) -> None:
        """Return when the running meters have committed everything produced and hold nothing."""

        async def ended() -> bool:
            assert self.running_meters(), "every meter has ended"
            answers = [await meter.ask("GET", "/status") for meter in self.running_meters()]
            statuses = [answer.json() for answer in answers if answer is not None]
            rows = {row["partition"]: row for status in statuses for row in status["partitions"]}
            held = any(status["events"]["held"] for status in statuses)
            return not held and all(
                partition in rows and rows[partition]["committed"] == end and rows[partition]["lag"] == 0
                for partition, end in self.ledger.ends.items()
            )

        await eventually(ended, limit_seconds, "everything produced has ended and is committed")

    async def books_balance(self, rows: Rows | None = None) -> None:
        """Every key one row, every record one end, everything committed, counters that add up.

        `rows` for what the provider had before it was made to forget them.
        """
        faults = await self.faults_in_the_books(rows)
        assert not faults, "\n".join(map(str, faults))

    async def faults_in_the_books(self, rows: Rows | None = None) -> list[Fault]:
        """Whatever keeps them from balancing."""
        statuses = [await meter.status() for meter in self.running_meters()]
        billed = await rows_at(self.sandbox.url) if rows is None else rows
        return await faults_in_the_books(self.servers, self.topic, self.group, billed, self.ledger, statuses)

    async def nothing_more_is_sent(self, seconds: float = 5.0) -> None:
        """Watch the provider for so long: whoever still bills something (a request that was under way, a process
        that woke up late) does it later than the end of the work, so only time can show that nobody does."""
        before = await self.sandbox.totals()
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            assert await self.sandbox.totals() == before
            await asyncio.sleep(0.25)

    async def all_is_billed_once(self) -> None:
        """Everything has ended, each key has one row, and five seconds later all of it is still so."""
        await self.everything_ended()
        assert (await self.sandbox.totals())["usages"] == len(self.ledger.rows)
        await self.nothing_more_is_sent()
        await self.books_balance()

    async def redelivered(self) -> int:
        """Events that came a second time and were recognised, by the provider or by a running meter."""
        window = added_up([await meter.status() for meter in self.running_meters()])["duplicate"]
        return (await self.sandbox.totals())["duplicates"] + window

    async def close(self) -> None:
        """End everything, with force."""
        for program in self._programs:
            if program.is_running:
                program.kill()
        for asked in self._asked:
            await asked.close()

    def show_logs(self) -> None:
        """The ends of all logs, for whoever reads why a test failed."""
        for program in self._programs:
            sys.stderr.write(program.log_tail())

    def _start(self, name: str, arguments: Sequence[str], environ: Mapping[str, str]) -> Program:
        program = Program(arguments, environ, self._folder, f"{name}-{len(self._programs)}")
        self._programs.append(program)
        return program


@asynccontextmanager
async def installation(servers: str, topic: str, folder: Path, transport: str = "rest") -> AsyncIterator[Installation]:
    """A topic with nobody at work yet; the meters talk to the provider over `transport`."""
    place = Installation(servers, topic, folder, transport)
    try:
        yield place
    except BaseException:
        place.show_logs()
        raise
    finally:
        await place.close()
