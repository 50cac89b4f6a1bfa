"""Whole processes in virtual time: the worker, its errands, its hand-overs and its supervisor, killed and stopped."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.processes.story import run
from tests.simulation.simulate import GAMES, load, simulate_all

SEED = 2026
NUMBER = 150
RARE_AND_DEAR = {
    "cut off from Kafka",
    "kafka: commit: lose",
    "kafka: receipts.write: fail",
    "killed between receipt and commit",
    "provider: late",
    "replaced while it may send",
    "stopped past its session",
}


@pytest.mark.timeout(400)
def test_whatever_happens_to_processes_every_event_is_billed_once_or_dead_lettered(
    record_property: Callable[[str, object], None],
) -> None:
    """Nothing is committed without an end, sent twice at a time or within two seconds of an unknown outcome, or sent
    although its receipt could be read; nobody ends by itself; at the end every event has exactly one end."""
    played = simulate_all("processes", first_seed=SEED, number=NUMBER, processes=2, shrink=True)
    assert played.failed is None, f"seed {SEED}: {played.reason}: {played.failed}"
    assert played.schedules.total() >= NUMBER
    assert played.struck.keys() >= RARE_AND_DEAR
    record_property("said", f"{NUMBER} schedules of processes, seed {SEED}: {played.struck.total():,} strikes")


@pytest.mark.parametrize("path", sorted(GAMES["processes"].found.glob("*.json")), ids=lambda path: path.stem)
def test_a_schedule_of_processes_that_once_broke_a_guarantee_keeps_them_all(path: Path) -> None:
    """What the simulation has found stays found."""
    run(load(path))
