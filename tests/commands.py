"""`meter` as its users start it: a process of its own, without what the developer has set for a meter of theirs."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

METER = [sys.executable, "-m", "meter"]


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with no setting in it but these."""
    foreign = {name: value for name, value in os.environ.items() if not name.startswith(("METER_", "SOLVAPAY_"))}
    return {**foreign, **(settings or {})}


def meter(
    *arguments: str, folder: Path | None = None, environ: Mapping[str, str] | None = None, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end, within 40 seconds."""
    return subprocess.run(
        [*METER, *arguments],
        cwd=folder,
        env=environment(environ),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
