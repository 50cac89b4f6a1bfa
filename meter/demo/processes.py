"""Broker, sandbox and meter as real processes of their own on free ports, gone when the demo is gone."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from meter.errors import CommandFailed
from meter.localkafka.ports import HOST, any_free
from meter.localkafka.probe import answers
from meter.localkafka.process import KeptProcess

TOPIC: Final = "usage-events"
SECRET_KEY: Final = "sk_sandbox_demo"  # noqa: S105  # opens nothing but the sandbox that the demo starts

# Short, so that the group notices the killed process soon; the billing timeout must fit into a session.
SESSION_TIMEOUT_SECONDS: Final = 10
BILLING_TIMEOUT_SECONDS: Final = 4

_STOP_LIMIT_SECONDS = 10.0
_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 8
_LOG_LINE_CHARACTERS = 400


class Program:
    """One `meter <command>` that may be killed and started again; its log is a file in the folder."""

    def __init__(self, name: str, folder: Path, *arguments: str) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        self._command = [*clean_environment(os.environ), sys.executable, "-m", "meter", *arguments]
        self._process: KeptProcess | None = None

    @property
    def pid(self) -> int:
        """0 while it is not running."""
        return self._process.pid if self._process is not None and self._process.running else 0

    def start(self) -> None:
        """Start it; it need not answer yet."""
        self._process = KeptProcess(self._command, self.log_file)

    def kill(self) -> None:
        """SIGKILL: no drain, no last commit, no goodbye to the group."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not help. Repeating it does nothing."""
        if self._process is not None:
            self._process.stop(_STOP_LIMIT_SECONDS)

    async def wait_until(self, ready: Callable[[], Awaitable[bool]], limit_seconds: float) -> None:
        """Return once `ready()`; `CommandFailed` with the end of its log when it ends before, or is late."""
        deadline = time.monotonic() + limit_seconds
        while not await ready():
            self.must_run()
            if time.monotonic() > deadline:
                raise CommandFailed(f"{self.name} is not ready after {limit_seconds:g} s; {self._log_tail()}")
            await asyncio.sleep(_POLL_SECONDS)

    def must_run(self) -> None:
        """`CommandFailed` with the end of its log when it has ended by itself."""
        if not self.pid:
            raise CommandFailed(f"{self.name} has ended; {self._log_tail()}")

    def _log_tail(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return f"the end of {self.log_file}:\n" + ("\n".join(map(_cut, lines[-_LOG_TAIL_LINES:])) or "(empty)")


class Installation:
    """The three programs of one demo, with their addresses and meter's configuration, in one folder."""

    def __init__(self, folder: Path, transport: str) -> None:
        ports = _free_ports(3)
        self.folder = folder
        self.bootstrap_servers = f"{HOST}:{ports[0]}"
        self.sandbox_url = f"http://{HOST}:{ports[1]}"
        self.meter_url = f"http://{HOST}:{ports[2]}"
        self.config_file = folder / "meter.toml"
        self.config_file.write_text(self._configuration(transport, ports[2]))
        self.broker = Program("kafka", folder, "kafka", "--port", str(ports[0]), "--data", str(folder / "kafka"))
        provider = ("--host", HOST, "--port", str(ports[1]), "--data", str(folder / "sandbox.sqlite"))
        self.sandbox = Program("sandbox", folder, "sandbox", *provider, "--key", SECRET_KEY)
        self.meter = Program("meter", folder, "run", "--config", str(self.config_file))

    async def broker_answers(self) -> bool:
        """Whether the broker serves clients."""
        host, port = self.bootstrap_servers.split(":")
        return await asyncio.to_thread(answers, host, int(port))

    def stop(self) -> None:
        """Stop everything, in the order in which nobody misses anybody."""
        for program in (self.meter, self.sandbox, self.broker):
            program.stop()

    def _configuration(self, transport: str, port: int) -> str:
        sections: Mapping[str, Mapping[str, object]] = {
            "kafka": {
                "bootstrap_servers": self.bootstrap_servers,
                "topic": TOPIC,
                "session_timeout_seconds": SESSION_TIMEOUT_SECONDS,
            },
            "billing": {
                "transport": transport,
                "base_url": self.sandbox_url,
                "secret_key": SECRET_KEY,
                "timeout_seconds": BILLING_TIMEOUT_SECONDS,
            },
            "http": {"host": HOST, "port": port},
        }
        return "\n".join(_section(name, options) for name, options in sections.items())


def _cut(line: str) -> str:
    """Both ends of a long line: what happened stands at one of them."""
    half = _LOG_LINE_CHARACTERS // 2
    return line if len(line) <= _LOG_LINE_CHARACTERS else f"{line[:half]} ... {line[-half:]}"


def _section(name: str, options: Mapping[str, object]) -> str:
    lines = [
        f'{option} = "{value}"' if isinstance(value, str) else f"{option} = {value}"
        for option, value in options.items()
    ]
    return f"[{name}]\n" + "\n".join(lines) + "\n"


def clean_environment(environ: Mapping[str, str]) -> list[str]:
    """`env -u NAME...`: what the user has set for a meter of their own must not reach the demo's."""
    ours = [name for name in environ if name.startswith(("METER_", "SOLVAPAY_")) and not name.startswith("METER_TEST_")]
    return ["/usr/bin/env", *(word for name in ours for word in ("-u", name))]


def _free_ports(total: int) -> list[int]:
    ports: list[int] = []
    for _ in range(total):
        ports.append(any_free(frozenset(ports)))
    return ports
