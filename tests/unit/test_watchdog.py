"""When a process is beyond help: decided look by look, and done from a thread."""

import subprocess
import sys

from meter.watchdog import Beat, Verdict, watched
from tests.waiting import eventually

BLOCKED = """
import asyncio, threading
from meter.watchdog import watched
async def main():
    async with watched(lambda: True, look_every_seconds=0.02, still_looks=3):
        await asyncio.sleep(0)
        threading.Event().wait()
asyncio.run(main())
"""


def test_a_loop_that_stands_still_is_the_end() -> None:
    """After as many looks as that; one beat in between and the count begins anew."""
    verdict = Verdict(not_alive_looks=2, still_looks=3)
    beats = [1, 1, 1, 2, 2, 2]
    assert [verdict.look(Beat(count, alive=True)) for count in beats] == [None] * 6
    assert verdict.look(Beat(2, alive=True)) == "the event loop has stood still for 3 s"


def test_a_process_that_is_not_alive_for_long_is_the_end() -> None:
    """Not one that recovers; an orchestrator that looks at /healthz has its chance first."""
    verdict = Verdict(not_alive_looks=3, still_looks=9)
    alive = [False, False, True, False, False]
    assert [verdict.look(Beat(count, alive)) for count, alive in enumerate(alive, 1)] == [None] * 5
    assert "nobody knows why" in (verdict.look(Beat(6, alive=False)) or "")


def test_a_process_that_was_stopped_is_not_taken_for_one_that_stands_still() -> None:
    """SIGSTOP for an hour is one look more, however late that look comes."""
    verdict = Verdict(not_alive_looks=2, still_looks=3)
    assert [verdict.look(Beat(count, alive=True)) for count in (1, 1, 2)] == [None] * 3


async def test_the_end_is_said_once_from_outside_the_loop() -> None:
    """With the reason."""
    said: list[str] = []
    async with watched(lambda: False, said.append, look_every_seconds=0.001):
        await eventually(lambda: said, 30, "it is said while the loop turns")
    assert len(said) == 1


async def test_a_fault_of_the_look_itself_is_told_as_what_it_is() -> None:
    """And not as a loop that stands still."""
    said: list[str] = []

    def alive() -> bool:
        raise KeyError("partition 7")

    async with watched(alive, said.append, look_every_seconds=0.001):
        await eventually(lambda: said, 30, "it is said")
    assert "nobody can say whether anything moves" in said[0]
    assert "KeyError: 'partition 7'" in said[0]


def test_a_blocked_loop_ends_the_process_and_says_where_it_hangs() -> None:
    """Exit code 1, the reason and the stacks on stderr."""
    ended = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 1
    assert "watchdog: the event loop has stood still" in ended.stderr
    assert "in main" in ended.stderr
