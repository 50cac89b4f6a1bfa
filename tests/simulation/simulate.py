"""Schedules by the thousand: `python -m tests.simulation.simulate`, or `make simulate`.

There are two simulations: of the machine alone, and of whole processes (`tests.simulation.processes`). Hypothesis draws
schedules and, when one breaks a guarantee, makes it as simple as it can; the result is written into
`tests/simulation/found/`, where tests play it for ever after. Says how often each fault struck.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, Verbosity, assume, given, seed, settings
from hypothesis import strategies as st
from rich.progress import Progress

from tests.simulation import machine
from tests.simulation.processes import story
from tests.simulation.schedule import KINDS, Case, Step, events_in

FOUND = Path(__file__).parent / "found"
MIN_EVENTS = 200
MIN_FAULTS = 10
MIN_FAULT_KINDS = 4
NOTHING: Step = (0, 0, 0)
SEVERAL = (2, 3)
AT_A_TIME = 9
"""From the tenth on Hypothesis draws mostly near copies of the schedule before: these begin afresh."""
WEIGHED_KINDS = (*range(KINDS + 1), *range(1, 6))
"""A little more is produced than the rest needs: few schedules are thrown away for having too few events."""


def _step(drawn: bytes) -> Step:
    kind, a, b = drawn
    return WEIGHED_KINDS[kind * len(WEIGHED_KINDS) // 256], a, b


steps = st.binary(min_size=3, max_size=3).map(_step)
"""All three numbers at once: one by one drawing them takes as long as playing them."""


class Game(NamedTuple):
    """One of the simulations."""

    run: Callable[[Case], Counter[str]]
    """What has struck; raises whatever goes wrong."""
    no_faults: frozenset[str]
    """What is counted and is none: the ordinary ways of a provider, of operators and of groups."""
    schedules: int
    """With 2 or 3 members, when nobody says how many."""
    alone: float
    """So many more, as a share, with one member: its copies may be in any partition."""
    found: Path


GAMES: Mapping[str, Game] = {
    "machine": Game(machine.run, machine.NO_FAULTS, 12_500, 0.1, FOUND / "machine"),
    "processes": Game(story.run, story.NO_FAULTS, 2_500, 0.0, FOUND / "processes"),
}


class Played(NamedTuple):
    """What some schedules came to: how many with how many members, each fault's strikes, and the one that failed."""

    schedules: Counter[int]
    struck: Counter[str]
    failed: Case | None
    reason: str


def cases(members: Sequence[int]) -> st.SearchStrategy[Case]:
    """Schedules for as many members."""
    return st.builds(
        Case, st.integers(0, 2**32 - 1), st.sampled_from(members), st.lists(steps, min_size=200, max_size=360)
    )


def simulate(name: str, first_seed: int, number: int, members: Sequence[int], *, shrink: bool = True) -> Played:
    """Plays `number` schedules that are hard enough; stops at the first that breaks a guarantee."""
    game = GAMES[name]
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
    @given(case=cases(members))
    def every_event_has_one_end(case: Case) -> None:
        assume(failed or events_in(case.schedule) >= MIN_EVENTS)  # one that fails may become simpler
        try:
            strikes = game.run(case)
        except Exception as fault:
            failed.append((case, f"{type(fault).__name__}: {fault}"))
            raise
        assume(is_hard(strikes, game.no_faults))
        schedules[case.members] += 1
        struck.update(strikes)

    try:
        every_event_has_one_end()
    except Exception:  # whatever it is, it is the finding, and the last is the simplest
        if not failed:
            raise
        return Played(schedules, struck, *failed[-1])
    return Played(schedules, struck, None, "")


def is_hard(struck: Counter[str], no_faults: Set[str]) -> bool:
    """Enough faults of enough kinds have struck."""
    faults = +Counter({name: times for name, times in struck.items() if name not in no_faults})
    return faults.total() >= MIN_FAULTS and len(faults) >= MIN_FAULT_KINDS


def keep(case: Case, folder: Path) -> Path:
    """Writes the case where the tests find it, without the steps that do nothing; its path.

    Each step has its number before it: chance in a step depends on that.
    """
    numbered = [(number, *step) for number, step in enumerate(case.schedule) if step[0]]
    text = json.dumps({"seed": case.seed, "members": case.members, "schedule": numbered})
    path = folder / f"{sha256(text.encode()).hexdigest()[:12]}.json"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text + "\n")
    return path


def load(path: Path) -> Case:
    """A case that `keep` has written."""
    fields = json.loads(path.read_text())
    steps_by_number = {number: (kind, a, b) for number, kind, a, b in fields["schedule"]}
    schedule = [steps_by_number.get(number, NOTHING) for number in range(max(steps_by_number) + 1)]
    return Case(fields["seed"], fields["members"], schedule)


def simulate_all(name: str, first_seed: int, number: int, processes: int, *, shrink: bool) -> Played:
    """The same, by several processes, with a progress bar on a terminal; the first failure ends it.

    `number` counts schedules with 2 or 3 members; those with one come beside them.
    """
    shares = ((SEVERAL, number), ((1,), round(number * GAMES[name].alone)))
    jobs = [(members, min(AT_A_TIME, share - at)) for members, share in shares for at in range(0, share, AT_A_TIME)]
    schedules, struck = Counter[int](), Counter[str]()
    with ProcessPoolExecutor(processes) as pool, Progress(disable=not sys.stdout.isatty()) as progress:
        bar = progress.add_task(name, total=sum(size for _, size in jobs))
        waiting = [
            pool.submit(simulate, name, first_seed + i, size, members, shrink=shrink)
            for i, (members, size) in enumerate(jobs)
        ]
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
    parser.add_argument("games", nargs="*", metavar="simulation", help="machine, processes; none: both")
    parser.add_argument("--schedules", type=int, help="how many, of 2 or 3 members; without it as many as each has")
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds, each for nine schedules")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-shrink", action="store_true", help="stop at the first failure as it is")
    arguments = parser.parse_args()
    if unknown := set(arguments.games) - GAMES.keys():
        parser.error(f"no such simulation: {', '.join(sorted(unknown))}; there are {', '.join(GAMES)}")
    results = [_played(name, arguments) for name in arguments.games or GAMES]
    return 0 if all(results) else 1


def _played(name: str, arguments: argparse.Namespace) -> bool:
    """Whether every guarantee was kept."""
    started, shrink = time.perf_counter(), not arguments.no_shrink
    number = arguments.schedules or GAMES[name].schedules
    played = simulate_all(name, arguments.seed, number, arguments.processes, shrink=shrink)
    say = sys.stdout.write
    say(f"{name}:\n")
    for strike, times in sorted(played.struck.items()):
        say(f"{times:10,}  {strike}{' (no fault)' if strike in GAMES[name].no_faults else ''}\n")
    several = played.schedules.total() - played.schedules[1]
    faults = sum(times for strike, times in played.struck.items() if strike not in GAMES[name].no_faults)
    say(f"{several:,} schedules with 2 or 3 members and {played.schedules[1]:,} with one, ")
    say(f"{faults:,} faults, {time.perf_counter() - started:.0f} s, seed {arguments.seed}: ")
    if played.failed is None:
        say("0 violations\n")
        return True
    kept = f"; kept as {keep(played.failed, GAMES[name].found)}" if shrink else ""
    say(f"VIOLATION: {played.reason.splitlines()[0]}{kept}\n")
    return False


if __name__ == "__main__":
    sys.exit(main())
