"""Schedules by the thousand: `python -m tests.simulation.simulate`, or `make simulate`.

Hypothesis draws them and, when one breaks a guarantee, makes it as simple as it can; the result is written into
`tests/simulation/found/`, where `test_machine.py` plays it for ever after. Says how often each fault struck.
"""

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, Verbosity, assume, given, seed, settings
from hypothesis import strategies as st
from rich.progress import Progress

from tests.simulation.schedule import KINDS, Step, check_ends, events_in, play, settle
from tests.simulation.world import World

FOUND = Path(__file__).parent / "found"
MIN_EVENTS = 200
MIN_FAULTS = 10
MIN_FAULT_KINDS = 4
NOTHING: Step = (0, 0, 0)
SCHEDULES = 12_500
AT_A_TIME = 9
"""From the tenth on Hypothesis draws mostly near copies of the schedule before: these begin afresh."""
WEIGHED_KINDS = (*range(KINDS + 1), *range(1, 6))
"""A little more is produced than the rest needs: few schedules are thrown away for having too few events."""


def _step(drawn: bytes) -> Step:
    kind, a, b = drawn
    return WEIGHED_KINDS[kind * len(WEIGHED_KINDS) // 256], a, b


steps = st.binary(min_size=3, max_size=3).map(_step)
"""All three numbers at once: one by one drawing them takes as long as playing them."""


class Case(NamedTuple):
    """One schedule, and the world that it happens in."""

    seed: int
    members: int
    schedule: list[Step]


class Played(NamedTuple):
    """What some schedules came to: how many with how many members, each fault's strikes, and the one that failed."""

    schedules: Counter[int]
    struck: Counter[str]
    failed: Case | None
    reason: str


cases = st.builds(
    Case, st.integers(0, 2**32 - 1), st.sampled_from((2, 3, 1, 3, 2)), st.lists(steps, min_size=200, max_size=360)
)


def run(case: Case) -> World:
    """A world from its first record to the last end; raises whatever goes wrong in it."""
    world = World(case.seed, case.members)
    play(world, case.schedule)
    settle(world)
    check_ends(world)
    return world


def simulate(first_seed: int, number: int, *, shrink: bool = True) -> Played:
    """Plays `number` schedules that are hard enough; stops at the first that breaks a guarantee."""
    schedules, struck = Counter[int](), Counter[str]()
    failed: list[tuple[Case, str]] = []
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    @seed(first_seed)
    @settings(
        max_examples=number,
        phases=phases,
        deadline=None,
        database=None,
        print_blob=False,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def every_event_has_one_end(case: Case) -> None:
        assume(failed or events_in(case.schedule) >= MIN_EVENTS)  # one that fails may become simpler
        try:
            world = run(case)
        except Exception as fault:
            failed.append((case, f"{type(fault).__name__}: {fault}"))
            raise
        assume(_is_hard(world))
        schedules[case.members] += 1
        struck.update(world.struck)

    try:
        every_event_has_one_end()
    except Exception:  # whatever it is, it is the finding, and the last is the simplest
        if not failed:
            raise
        return Played(schedules, struck, *failed[-1])
    return Played(schedules, struck, None, "")


def _is_hard(world: World) -> bool:
    faults = +world.struck
    return faults.total() >= MIN_FAULTS and len(faults) >= MIN_FAULT_KINDS


def keep(case: Case, folder: Path = FOUND) -> Path:
    """Writes the case where the tests find it, without the steps that do nothing; its path.

    Each step has its number before it: chance in a step depends on that.
    """
    numbered = [(number, *step) for number, step in enumerate(case.schedule) if step[0]]
    text = json.dumps({"seed": case.seed, "members": case.members, "schedule": numbered})
    path = folder / f"{sha256(text.encode()).hexdigest()[:12]}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n")
    return path


def load(path: Path) -> Case:
    """A case that `keep` has written."""
    fields = json.loads(path.read_text())
    steps_by_number = {number: (kind, a, b) for number, kind, a, b in fields["schedule"]}
    schedule = [steps_by_number.get(number, NOTHING) for number in range(max(steps_by_number) + 1)]
    return Case(fields["seed"], fields["members"], schedule)


def simulate_all(first_seed: int, number: int, processes: int, *, shrink: bool) -> Played:
    """The same, by several processes, with a progress bar on a terminal; the first failure ends it."""
    sizes = [min(AT_A_TIME, number - start) for start in range(0, number, AT_A_TIME)]
    schedules, struck = Counter[int](), Counter[str]()
    with ProcessPoolExecutor(processes) as pool, Progress(disable=not sys.stdout.isatty()) as progress:
        bar = progress.add_task("schedules", total=number)
        waiting = [pool.submit(simulate, first_seed + i, size, shrink=shrink) for i, size in enumerate(sizes)]
        for done in as_completed(waiting):
            played = done.result()
            schedules.update(played.schedules)
            struck.update(played.struck)
            progress.update(bar, advance=played.schedules.total())
            if played.failed is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                return Played(schedules, struck, played.failed, played.reason)
    return Played(schedules, struck, None, "")


def main() -> int:
    """Plays them and says what struck; exits with 1 at a broken guarantee."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=SCHEDULES)
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds, each for nine schedules")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-shrink", action="store_true", help="stop at the first failure as it is")
    arguments = parser.parse_args()
    started = time.perf_counter()
    played = simulate_all(arguments.seed, arguments.schedules, arguments.processes, shrink=not arguments.no_shrink)
    say = sys.stdout.write
    for fault, times in sorted(played.struck.items()):
        say(f"{times:10,}  {fault}\n")
    several = played.schedules.total() - played.schedules[1]
    say(f"{played.schedules.total():,} schedules, {several:,} of them with 2 or 3 members, ")
    say(f"{played.struck.total():,} faults, {time.perf_counter() - started:.0f} s, seed {arguments.seed}: ")
    if played.failed is None:
        say("0 violations\n")
        return 0
    kept = "" if arguments.no_shrink else f"; kept as {keep(played.failed)}"
    say(f"VIOLATION: {played.reason.splitlines()[0]}{kept}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
