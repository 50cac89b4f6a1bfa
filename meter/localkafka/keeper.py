"""Runs one program and does not let it outlive the process that asked for it, however that one ends.

Started as a program of its own, `python keeper.py PROGRAM ARGUMENTS...`, with a pipe as its standard input: the pipe
closes when the other end's process is gone, a SIGKILL included. (The kernel's parent-death signal is tied to the
*thread* that started the child, which may be a short-lived one.) First it prints the program's process id on a line;
it ends with the program's exit code. It stands alone: the standard library, nothing of meter.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 3.0
_PR_SET_PDEATHSIG = 1


def _die_with_the_keeper() -> None:
    """Runs in the child: for the case that somebody kills the keeper alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_the_pipe(program: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1024):
        pass
    program.terminate()
    try:
        program.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()


def main() -> int:
    """Run the program of the command line to its end and return its exit code."""
    program = subprocess.Popen(  # noqa: S603  # the command comes from the process that started us
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=_die_with_the_keeper,  # safe: nothing else runs in this process yet
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # for the whole group they are the program's to answer
    sys.stdout.write(f"{program.pid}\n")
    sys.stdout.flush()
    threading.Thread(target=_end_with_the_pipe, args=(program,), daemon=True).start()
    return program.wait()


if __name__ == "__main__":
    code = main()
    os._exit(code if code >= 0 else 128 - code)  # not sys.exit: the thread may sit in a read for ever
