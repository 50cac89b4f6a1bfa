"""The machine under random assignments, revocations, records, answers, writes, kills, stops and time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.machine import run
from tests.simulation.provider import UNLOCKED
from tests.simulation.schedule import Case
from tests.simulation.simulate import GAMES, NOTHING, keep, load, simulate_all

SEED = 2026
RARE_AND_DEAR = {
    "commit: lost",
    "killed between receipt and commit",
    UNLOCKED,
    "provider: late",
    "replaced while it may send",
    "woken as a zombie that has writes to finish",
}


@pytest.mark.timeout(400)
def test_whatever_happens_every_event_is_billed_once_or_dead_lettered(
    record_property: Callable[[str, object], None],
) -> None:
    """Invariants 1 to 7 at every step (in `World` and `Broker`); at the end every event has exactly one end."""
    played = simulate_all("machine", first_seed=SEED, number=500, processes=2, shrink=True)
    assert played.failed is None, f"seed {SEED}: {played.reason}: {played.failed}"
    assert played.schedules[2] + played.schedules[3] >= 500
    assert played.schedules[1] >= 50
    record_property("said", f"500 schedules of the machine, seed {SEED}: {played.struck.total():,} strikes")
    assert played.struck.keys() >= RARE_AND_DEAR


@pytest.mark.parametrize("path", sorted(GAMES["machine"].found.glob("*.json")), ids=lambda path: path.stem)
def test_a_schedule_that_once_broke_a_guarantee_keeps_them_all(path: Path) -> None:
    """What the simulation has found stays found."""
    run(load(path))


def test_a_schedule_that_is_kept_is_the_one_that_was_found(tmp_path: Path) -> None:
    """Each step at its place, or chance would strike differently in it."""
    found = Case(7, 3, [NOTHING, (3, 1, 2), NOTHING, NOTHING, (70, 0, 0)])
    assert load(keep(found, tmp_path)) == found
