"""Usages per second that the provider's sandbox takes on one core: `make bench-sandbox`, or with `--help`.

The sandbox is a process of its own on a core of its own; another process sends bulk calls over HTTP, two at a time. In
each setting every event must be in the sandbox's totals at the end, once, and every credit that was taken must have
been told to the receiver of webhooks.
"""

import argparse
import contextlib
import http.client
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import httpx

from bench.events import event
from bench.process_figures import core_seconds, cores, cpu_seconds, resident_mebibytes, started_on
from meter.demo.processes import Program
from meter.errors import CommandFailed, MeterError
from meter.localkafka.ports import HOST, any_free
from meter.localkafka.process import KeptProcess

WANTED_PER_CPU_SECOND = 20_000
BATCH = 1000
CUSTOMERS = 100
PRODUCT = "prd_00007"
BULK = "/v1/sdk/usages/bulk"
_EVENTS_BEFORE_LOAD = 4 * CUSTOMERS  # each is created, given credits, and has a purchase that is created and activated
_CONNECTIONS = 2
_START_LIMIT_SECONDS = 20.0
_DELIVERY_LIMIT_SECONDS = 300.0
_KEY = {"x-api-key": "sk_sandbox_bench"}


class Setting(NamedTuple):
    """What the sandbox is to do: keep a file or not, tell a receiver of every debit or not."""

    name: str
    file: bool
    webhooks: bool


SETTINGS = (
    Setting("memory", file=False, webhooks=False),
    Setting("file", file=True, webhooks=False),
    Setting("file, debits told by webhook", file=True, webhooks=True),
)


class Figures(NamedTuple):
    """What it cost; `others_seconds` is how long the core worked for somebody else meanwhile."""

    setting: Setting
    events: int
    cpu_seconds: float
    wall_seconds: float
    others_seconds: float
    resident_mebibytes: float
    webhooks: int
    delivered_seconds: float
    """How long after the last answer the last webhook was delivered."""


def main() -> int:
    """0; 1 when an event was lost, doubled or not told of, or the sandbox is too slow."""
    options = _options()
    if sys.platform != "linux":
        print("bench: needs Linux: it gives processes cores of their own and reads /proc", file=sys.stderr)
        return 1
    core, others = cores()
    os.sched_setaffinity(0, others)
    bodies = bulk_bodies(options.events // BATCH)
    found = []
    try:
        for setting in SETTINGS:
            with tempfile.TemporaryDirectory(prefix="meter-bench-") as folder:
                found.append(_measure(setting, bodies, core, Path(folder)))
            show(found[-1:], heading=len(found) == 1)
    except (MeterError, httpx.HTTPError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return too_slow(found)


def bulk_bodies(calls: int) -> list[bytes]:
    """So many bulk calls of a thousand distinct events of a hundred customers."""
    chance = random.Random(20261123)  # noqa: S311  # reproducible, no secret
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    customers = [f"cus_{number:08d}" for number in range(CUSTOMERS)]
    return [
        b'{"events":['
        + b",".join(
            event(chance.choice(customers), PRODUCT, str(UUID(int=chance.getrandbits(128))), 1, now)
            for _ in range(BATCH)
        )
        + b"]}"
        for _ in range(calls)
    ]


def show(found: Sequence[Figures], *, heading: bool = True) -> None:
    """One line per setting, columns separated by tabs."""
    if heading:
        names = "events/CPU s", "events/s", "core used by others", "resident MiB", "webhooks", "told after"
        print("sandbox", "events", *names, sep="\t")
    for one in found:
        print(
            one.setting.name,
            f"{one.events:,}",
            f"{one.events / one.cpu_seconds:,.0f}",
            f"{one.events / one.wall_seconds:,.0f}",
            f"{100 * one.others_seconds / one.wall_seconds:.0f} %",
            f"{one.resident_mebibytes:.0f}",
            f"{one.webhooks:,}",
            f"{one.delivered_seconds:.1f} s",
            sep="\t",
            flush=True,
        )


def too_slow(found: Sequence[Figures]) -> int:
    """1 when any setting stays below what is wanted of a CPU second, and says so."""
    slow = [one.setting.name for one in found if one.events / one.cpu_seconds < WANTED_PER_CPU_SECOND]
    if slow:
        print(f"bench: fewer than {WANTED_PER_CPU_SECOND:,} events per CPU second: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


def _measure(setting: Setting, bodies: Sequence[bytes], core: int, folder: Path) -> Figures:
    port, hooks_port = any_free(), any_free()
    config = folder / "sandbox.toml"
    config.write_text(f'[sandbox]\nwebhook_url = "http://{HOST}:{hooks_port}/"\n' if setting.webhooks else "")
    data = ["--data", str(folder / "sandbox.db")] if setting.file else []
    program = Program("sandbox", folder, "sandbox", "--port", str(port), "--config", str(config), *data)
    with contextlib.ExitStack() as stack:
        if setting.webhooks:
            receiver = KeptProcess([sys.executable, "-m", "bench.hooks", str(hooks_port)], folder / "hooks.log")
            stack.callback(receiver.stop, 10.0)
        stack.callback(program.stop)
        with started_on({core}):
            program.start()
        client = stack.enter_context(httpx.Client(base_url=f"http://{HOST}:{port}", headers=_KEY, timeout=60))
        _await_start(client)
        if setting.webhooks:
            _put_on_credits(client)
            _await_delivery(client, hooks_port, 0)
        return _load(setting, bodies, core, program.pid, client, hooks_port)


def _load(
    setting: Setting, bodies: Sequence[bytes], core: int, pid: int, client: httpx.Client, hooks_port: int
) -> Figures:
    """Send everything; what it costs until the last webhook is delivered counts as well."""
    before = cpu_seconds(pid), core_seconds(core), time.monotonic()
    _send(str(client.base_url.host), client.base_url.port or 0, bodies)
    answered = time.monotonic()
    told = _await_delivery(client, hooks_port, len(bodies) * BATCH) if setting.webhooks else 0
    cpu, busy = cpu_seconds(pid) - before[0], core_seconds(core) - before[1]
    delivered = time.monotonic()
    events = len(bodies) * BATCH
    totals = client.get("/sandbox/totals").raise_for_status().json()
    if (totals["usages"], totals["duplicates"]) != (events, 0):
        raise CommandFailed(f"{setting.name}: {events} sent, and the sandbox says {totals}")
    return Figures(
        setting,
        events,
        cpu,
        answered - before[2],
        max(0.0, busy - cpu),
        resident_mebibytes(pid),
        told,
        delivered - answered,
    )


def _send(host: str, port: int, bodies: Sequence[bytes]) -> None:
    """All bodies over a few connections. Raises CommandFailed for an answer that is no success."""
    waiting = list(bodies)
    failures: list[str] = []

    def work() -> None:
        with contextlib.closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
            while waiting and not failures:
                connection.request("POST", BULK, waiting.pop(), {**_KEY, "content-type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    failures.append(f"{answer.status} {body[:200]!r}")

    threads = [threading.Thread(target=work) for _ in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures or waiting:
        raise CommandFailed(f"the sandbox refused a call: {failures}")


def _put_on_credits(client: httpx.Client) -> None:
    """Every customer may take a thousand million credits, one a unit."""
    names = [f"cus_{number:08d}" for number in range(CUSTOMERS)]
    client.post("/sandbox/customers", json=[{"reference": name} for name in names]).raise_for_status()
    plan = {"reference": "pln_credits", "type": "usage-based", "creditsPerUnit": 1}
    client.post("/sandbox/products", json={"reference": PRODUCT, "plan": plan}).raise_for_status()
    for name in names:
        client.post(f"/v1/sdk/customers/{name}/credits", json={"credits": 10**9}).raise_for_status()
        wish = {"customerRef": name, "productRef": PRODUCT, "planRef": "pln_credits"}
        answer = client.post("/v1/sdk/activate", json=wish).raise_for_status().json()
        if answer["status"] != "activated":
            raise CommandFailed(f"no customer on credits: {answer}")


def _await_delivery(client: httpx.Client, hooks_port: int, credits_taken: int) -> int:
    """Return how many webhooks have come, once they tell of all credits that were taken."""
    deadline = time.monotonic() + _DELIVERY_LIMIT_SECONDS
    while True:
        found: dict[str, Any] = httpx.get(f"http://{HOST}:{hooks_port}/").raise_for_status().json()
        if found["debited"] == credits_taken and found["others"] >= _EVENTS_BEFORE_LOAD:
            return int(found["webhooks"])
        if time.monotonic() > deadline:
            raise CommandFailed(f"{credits_taken} credits taken, and the webhooks tell of {found}")
        client.get("/sandbox/faults").raise_for_status()  # it must still answer meanwhile
        time.sleep(0.1)


def _await_start(client: httpx.Client) -> None:
    deadline = time.monotonic() + _START_LIMIT_SECONDS
    while True:
        with contextlib.suppress(httpx.HTTPError):
            client.get("/sandbox/totals").raise_for_status()
            return
        if time.monotonic() > deadline:
            raise CommandFailed("the sandbox does not start")
        time.sleep(0.05)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.sandbox", description=__doc__)
    parser.add_argument("--events", type=_thousands, default=200_000, metavar="N", help="default: 200000")
    return parser.parse_args()


def _thousands(text: str) -> int:
    if not text.isdecimal() or int(text) < BATCH:
        raise argparse.ArgumentTypeError(f"must be a whole number, {BATCH} or more: {text}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
