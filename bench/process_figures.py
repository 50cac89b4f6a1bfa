"""What the kernel knows about a process, and which cores it may use. Linux only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS_PER_SECOND


def core_seconds(core: int) -> float:
    """How long this core has worked since the machine was started, for whomever."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, interrupts, soft_interrupts, *_ = map(int, ticks)
            return (user + nice + system + interrupts + soft_interrupts) / _TICKS_PER_SECOND
    return 0.0


def resident_mebibytes(pid: int | str = "self") -> float:
    """The most that it ever had in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) / 1024
    return 0.0


def cores() -> tuple[int, set[int]]:
    """One core for the process under test, the others for everybody else; the same one if there is only one."""
    first, *others = sorted(os.sched_getaffinity(0))
    return first, set(others) or {first}


@contextmanager
def started_on(chosen: set[int]) -> Iterator[None]:
    """What is started inside runs on these cores, with all that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
