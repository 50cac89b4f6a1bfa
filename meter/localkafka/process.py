"""A program as a child that cannot outlive us: started through the keeper, told to end, and waited for."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from meter.localkafka import keeper


class KeptProcess:
    """One run of a program; its standard error goes to the end of a log file."""

    def __init__(self, command: Sequence[str], log_file: Path) -> None:
        with log_file.open("ab") as log:
            self._keeper = subprocess.Popen(  # noqa: S603  # Java of a package, arguments of ours
                [sys.executable, "-I", str(keeper.__file__), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is ours to answer, not the program's
            )
        assert self._keeper.stdout is not None  # noqa: S101  # we asked for the pipe
        self.pid = int(self._keeper.stdout.readline() or 0)  # 0: the program could not be started, the log says why

    @property
    def running(self) -> bool:
        """Whether the program is alive."""
        return self._keeper.poll() is None

    def wait(self) -> None:
        """Return when the program has ended."""
        self._keeper.wait()

    def stop(self, limit_seconds: float) -> None:
        """SIGTERM, and SIGKILL after the limit; returns when the program is gone. Repeating it does nothing."""
        self._signal(signal.SIGTERM)
        try:
            self._wait(limit_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL; returns when the program is gone, so that its ports and files are free again."""
        self._signal(signal.SIGKILL)
        self._wait(limit_seconds=15)

    def _signal(self, number: signal.Signals) -> None:
        if self.running and self.pid:
            with suppress(ProcessLookupError):  # it ended by itself in this moment
                os.kill(self.pid, number)

    def _wait(self, limit_seconds: float) -> None:
        self._keeper.wait(limit_seconds)  # the keeper ends when it has reaped the program
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            if pipe is not None:
                pipe.close()
