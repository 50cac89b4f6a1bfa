"""Is the simulation strong enough? Known mistakes are put into a copy of the machine; each has to be noticed.

    python -m tests.simulation.mutations [NAME ...] [--schedules 500] [--at-once 2]

Nothing is changed in the checkout: every mutation gets a temporary folder of its own. Prints a table that says how
many schedules each mutation survived, and exits with 1 if one survives them all, if the unmutated machine fails, or
if a mutation no longer finds its text.
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

from tests.simulation.mistakes import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
SIMULATE = (sys.executable, "-m", "tests.simulation.simulate")
LIMIT_SECONDS = 1200.0


def mutate(mutation: Mutation, folder: Path) -> None:
    """A copy of the machine and its simulation in `folder`, with the mistake in it."""
    shutil.copytree(ROOT / "meter", folder / "meter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "simulation", folder / "tests" / "simulation")
    (folder / "tests" / "__init__.py").touch()
    for edit in mutation.edits:
        path = folder / "meter" / "pipeline" / edit.file
        text = path.read_text()
        if edit.old not in text:
            raise LookupError(f"{mutation.name}: {edit.file} has changed, {edit.old!r} is not in it")
        path.write_text(text.replace(edit.old, edit.new))


def play(mutation: Mutation, schedules: int) -> tuple[bool, str]:
    """Whether every guarantee was kept, and the last line that was said."""
    with tempfile.TemporaryDirectory() as folder:
        mutate(mutation, Path(folder))
        run = subprocess.run(
            [*SIMULATE, "--no-shrink", "--processes=1", f"--schedules={schedules}"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    said = (run.stdout.splitlines() or run.stderr.splitlines() or ["nothing"])[-1]
    return run.returncode == 0, said


def judge(mutation: Mutation, schedules: int) -> bool:
    """Plays it and says what happened; False if that is a surprise."""
    started = time.perf_counter()
    try:
        kept, said = play(mutation, schedules)
    except LookupError as fault:
        kept, said = True, str(fault)
    survived, _, reason = said.partition(" ")
    verdict = (
        f"{'kept, all of' if kept else 'caught after'} {survived:>4} schedules {time.perf_counter() - started:6.1f} s"
    )
    sys.stdout.write(f"{verdict}  {mutation.name:66} {reason.rpartition('VIOLATION: ')[2]}\n")
    sys.stdout.flush()
    return kept != bool(mutation.edits)


def main() -> int:
    """Plays the unmutated machine and every mutation that was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=2)
    arguments = parser.parse_args()
    wanted = [mutation for mutation in MUTATIONS if not arguments.names or mutation.name in arguments.names]
    with ThreadPoolExecutor(arguments.at_once) as pool:
        verdicts = list(pool.map(lambda one: judge(one, arguments.schedules), (Mutation("(unmutated)", ()), *wanted)))
    surprises = verdicts.count(False)
    sys.stdout.write(f"{len(wanted)} mutations, {surprises} surprises\n")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
