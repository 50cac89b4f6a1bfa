"""`meter` as its users start it: a process of its own, without what the developer has set for a meter of theirs."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

METER = [sys.executable, "-m", "meter"]


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with no setting in it but these."""
    foreign = {name: value for name, value in os.environ.items() if not name.startswith(("METER_", "SOLVAPAY_"))}
    return {**foreign, **(settings or {})}


def meter(
    *arguments: str, folder: Path | None = None, environ: Mapping[str, str] | None = None, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end, within two minutes."""
    return subprocess.run(
        [*METER, *arguments],
        cwd=folder,
        env=environment(environ),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def sandbox_process(
    *arguments: str, environ: Mapping[str, str] | None = None
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`meter sandbox` on a free port: the process and its address; killed at the end if it still runs."""
    command = [*METER, "sandbox", "--port", "0", *arguments]
    with subprocess.Popen(
        command, env=environment(environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            words = running.stdout.readline().split()
            yield running, next(word for word in words if word.startswith("http://"))
        finally:
            with suppress(ProcessLookupError):
                running.kill()
