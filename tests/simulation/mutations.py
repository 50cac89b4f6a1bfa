"""Is the simulation strong enough? Known mistakes are put into a copy of the machine; each has to be noticed.

    make mutations, or python -m tests.simulation.mutations [NAME ...] [--schedules 500] [--at-once 2]

Nothing is changed in the checkout: every mutation gets a temporary folder of its own. Prints a table that says how
many schedules each mutation survived, and exits with 1 if one is not caught, if the unmutated code fails, or if a
mutation no longer finds its text. Caught means that a guarantee was broken: code that does not even run proves nothing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.simulation import mistakes
from tests.simulation.mistakes import Mutation
from tests.simulation.processes import mistakes as around

ROOT = Path(__file__).resolve().parents[2]
SIMULATE = (sys.executable, "-m", "tests.simulation.simulate")
LIMIT_SECONDS = 1200.0
MUTATIONS = (*mistakes.MUTATIONS, *around.MUTATIONS)
CONTROLS = (Mutation("(unmutated)", ()), Mutation("(unmutated)", (), "processes"))
VIOLATION = "VIOLATION: AssertionError: "


class Verdict(NamedTuple):
    """What playing a mutation came to."""

    kept: bool
    """No guarantee was broken in any schedule."""
    caught: bool
    """A guarantee was broken."""
    said: str


def place(file: str, root: Path = ROOT) -> Path:
    """A module of the machine, or of what is around it."""
    core = root / "meter" / "pipeline" / file
    return core if core.exists() else root / "meter" / file


def mutate(mutation: Mutation, folder: Path) -> None:
    """A copy of meter and its simulations in `folder`, with the mistake in it."""
    shutil.copytree(ROOT / "meter", folder / "meter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "simulation", folder / "tests" / "simulation")
    for path in (ROOT / "tests").glob("*.py"):
        shutil.copy(path, folder / "tests")
    for edit in mutation.edits:
        path = place(edit.file, folder)
        text = path.read_text()
        if edit.old not in text:
            raise LookupError(f"{mutation.name}: {edit.file} has changed, {edit.old!r} is not in it")
        path.write_text(text.replace(edit.old, edit.new))


def play(mutation: Mutation, schedules: int) -> Verdict:
    """Plays up to so many schedules with it."""
    with tempfile.TemporaryDirectory() as folder:
        mutate(mutation, Path(folder))
        run = subprocess.run(
            [*SIMULATE, mutation.simulation, "--no-shrink", "--processes=1", f"--schedules={schedules}"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    said = (run.stdout.splitlines() or run.stderr.splitlines() or ["nothing"])[-1]
    return Verdict(run.returncode == 0, VIOLATION in said, said)


def judge(mutation: Mutation, schedules: int) -> bool:
    """Plays it and says what happened; False if that is a surprise."""
    started = time.perf_counter()
    try:
        verdict = play(mutation, schedules)
    except LookupError as fault:
        verdict = Verdict(kept=False, caught=False, said=f"? {fault}")
    outcome = "kept, all of" if verdict.kept else "caught after" if verdict.caught else "BROKEN after"
    survived, _, reason = verdict.said.partition(" ")
    took = f"{time.perf_counter() - started:6.1f} s"
    reason = reason.rpartition("VIOLATION: ")[2]
    sys.stdout.write(f"{outcome} {survived:>4} schedules {took}  {mutation.name:66} {reason}\n")
    sys.stdout.flush()
    return verdict.caught if mutation.edits else verdict.kept


def main() -> int:
    """Plays the unmutated code and every mutation that was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=2)
    arguments = parser.parse_args()
    wanted = [mutation for mutation in MUTATIONS if not arguments.names or mutation.name in arguments.names]
    with ThreadPoolExecutor(arguments.at_once) as pool:
        verdicts = list(pool.map(lambda one: judge(one, arguments.schedules), (*CONTROLS, *wanted)))
    surprises = verdicts.count(False)
    sys.stdout.write(f"{len(wanted)} mutations, {surprises} surprises\n")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
