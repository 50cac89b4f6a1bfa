"""One round of the throughput bench: the bare loop, then meter itself, each pinned to a core of its own."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from bench.bare_loop import BareFigures
from bench.events import TOPIC
from bench.limits_load import LimitsFigures
from bench.process_figures import core_seconds, cpu_seconds, resident_mebibytes, started_on
from bench.sink import Totals
from meter.demo.processes import Program
from meter.errors import CommandFailed
from meter.localkafka.ports import HOST, any_free
from meter.localkafka.process import KeptProcess

START_LIMIT_SECONDS = 30.0
STALL_LIMIT_SECONDS = 60.0
_POLL_SECONDS = 0.02
_SCRAPE_SECONDS = 1.0
_STOP_LIMIT_SECONDS = 30.0

T = TypeVar("T")


class MeterFigures(msgspec.Struct):
    """What billing cost, from the first record to lag 0, and whether every event arrived once."""

    cpu_seconds: float
    wall_seconds: float
    others_seconds: float
    """How long its core worked for other processes meanwhile: they cost it time and caches."""
    resident_mebibytes: float
    sink: Totals
    limits: LimitsFigures


class Trial:
    """One broker with the events in it, a folder for configurations, logs and results, a core for what is measured."""

    def __init__(self, folder: Path, bootstrap_servers: str, events: int, core: int) -> None:
        self._folder = folder
        self._core = core
        self._bootstrap_servers = bootstrap_servers
        self._events = events
        self._rounds = 0

    def bare(self) -> BareFigures:
        """Read everything with the Kafka client alone."""
        result = self._folder / "bare.json"
        result.unlink(missing_ok=True)
        with started_on({self._core}):
            loop = self._python("bench.bare_loop", self._bootstrap_servers, str(self._events), str(result))
        try:
            _await(lambda: not loop.running, STALL_LIMIT_SECONDS, "the bare loop does not end")
        finally:
            loop.stop(_STOP_LIMIT_SECONDS)
        if not result.exists():
            raise CommandFailed(f"the bare loop failed: see {self._folder}/bench.bare_loop.log")
        return msgspec.json.decode(result.read_bytes(), type=BareFigures)

    def meter(self) -> MeterFigures:
        """Bill everything, with a group and receipts of its own."""
        self._rounds += 1
        sink_port, http_port = any_free(), any_free()
        config = self._folder / f"meter-{self._rounds}.toml"
        config.write_text(self._configuration(sink_port, http_port))
        result = self._folder / "limits.json"
        result.unlink(missing_ok=True)
        with contextlib.ExitStack() as stack:
            sink = stack.enter_context(httpx.Client(base_url=f"http://{HOST}:{sink_port}"))
            status = stack.enter_context(httpx.Client(base_url=f"http://{HOST}:{http_port}"))
            stack.enter_context(_stopping(self._python("bench.sink", str(sink_port))))
            _await(lambda: _answers(sink), START_LIMIT_SECONDS, "the sink does not start")
            program = Program(f"meter-{self._rounds}", self._folder, "run", "--config", str(config))
            stack.callback(program.stop)
            with started_on({self._core}):
                program.start()
            _await(lambda: _answers(status), START_LIMIT_SECONDS, "meter does not start")
            load = self._python("bench.limits_load", str(http_port), str(result))
            with _stopping(load):
                cpu, wall, others = self._bill(program.pid, status, sink)
            resident = resident_mebibytes(program.pid)
            totals = msgspec.convert(_get(sink, "/totals"), Totals)
        limits = msgspec.json.decode(result.read_bytes(), type=LimitsFigures)
        return MeterFigures(cpu, wall, others, resident, totals, limits)

    def _bill(self, pid: int, status: httpx.Client, sink: httpx.Client) -> tuple[float, float, float]:
        """From the first record until everything is committed: its CPU, the wall's, and the others' CPU seconds."""
        before = cpu_seconds(pid), time.monotonic(), core_seconds(self._core)
        while not _get(status, "/status")["events"]["consumed"]:
            before = cpu_seconds(pid), time.monotonic(), core_seconds(self._core)
            time.sleep(_POLL_SECONDS)
        self._wait_for_the_last(status, sink)
        after = cpu_seconds(pid), time.monotonic(), core_seconds(self._core)
        cpu, wall, all_cpu = (end - start for start, end in zip(before, after, strict=True))
        return cpu, wall, max(0.0, all_cpu - cpu)

    def _wait_for_the_last(self, status: httpx.Client, sink: httpx.Client) -> None:
        """Asks the provider, which is not measured; meter only at the end, and for its metrics once a second."""
        seen, seen_at, scraped_at = 0, time.monotonic(), time.monotonic()
        while True:
            keys = _get(sink, "/totals")["keys"]
            if keys >= self._events and _is_done(_get(status, "/status"), self._events):
                return
            now = time.monotonic()
            if keys != seen:
                seen, seen_at = keys, now
            elif now - seen_at > STALL_LIMIT_SECONDS:
                raise CommandFailed(f"meter stands still at {keys} events: see {self._folder}")
            if now - scraped_at >= _SCRAPE_SECONDS:
                scraped_at = now
                status.get("/metrics").raise_for_status()
            time.sleep(_POLL_SECONDS)

    def _python(self, module: str, *arguments: str) -> KeptProcess:
        return KeptProcess([sys.executable, "-m", module, *arguments], self._folder / f"{module}.log")

    def _configuration(self, sink_port: int, http_port: int) -> str:
        return f"""
[kafka]
bootstrap_servers = "{self._bootstrap_servers}"
topic = "{TOPIC}"
group_id = "bench-{self._rounds}"
receipts_topic = "receipts-{self._rounds}"
start_from = "earliest"
[billing]
base_url = "http://{HOST}:{sink_port}"
secret_key = "sk_sandbox_bench"
[http]
port = {http_port}
[log]
level = "warning"
format = "json"
"""


@contextlib.contextmanager
def _stopping(process: KeptProcess) -> Iterator[None]:
    try:
        yield
    finally:
        process.stop(_STOP_LIMIT_SECONDS)


def _is_done(status: dict[str, Any], events: int) -> bool:
    lags = [partition["lag"] for partition in status["partitions"]]
    return status["events"]["accepted"] >= events and bool(lags) and not any(lag is None or lag for lag in lags)


def _answers(client: httpx.Client) -> bool:
    try:
        client.get("/healthz").raise_for_status()
    except httpx.HTTPError:
        return False
    return True


def _get(client: httpx.Client, path: str) -> Any:
    return client.get(path).raise_for_status().json()


def _await(ready: Callable[[], bool], limit_seconds: float, failure: str) -> None:
    deadline = time.monotonic() + limit_seconds
    while not ready():
        if time.monotonic() > deadline:
            raise CommandFailed(failure)
        time.sleep(_POLL_SECONDS)
