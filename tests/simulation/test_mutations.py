"""The simulations notice mistakes: here are those noticed soonest, all of the list takes long (`make mutations`)."""

import pytest

from tests.simulation.mistakes import Mutation
from tests.simulation.mutations import CONTROLS, MUTATIONS, place, play

SOON = 50
"""Schedules within which each of these is noticed."""
NOTICED_SOON = (
    "the highest end instead of the contiguous prefix",
    "send without a lease",
    "a revocation does not wait for requests in flight",
    "the window is not filled before records come",
)


def name_of(mutation: Mutation) -> str:
    return mutation.name


@pytest.mark.parametrize("mutation", MUTATIONS, ids=name_of)
def test_every_mutation_finds_its_place(mutation: Mutation) -> None:
    """Whoever changes that line is told to change the mutation with it."""
    for edit in mutation.edits:
        assert edit.old in place(edit.file).read_text()
        assert edit.old != edit.new


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutation", [one for one in MUTATIONS if one.name in NOTICED_SOON], ids=name_of)
def test_a_mistake_breaks_a_guarantee_that_is_watched(mutation: Mutation) -> None:
    """Not merely the code: an import that fails would be no finding."""
    verdict = play(mutation, SOON)
    assert verdict.caught, verdict.said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.simulation)
def test_code_without_a_mistake_is_not_accused(control: Mutation) -> None:
    """The same way of playing, on an unchanged copy."""
    verdict = play(control, 9)
    assert verdict.kept, verdict.said


@pytest.mark.timeout(300)
def test_code_that_does_not_run_is_not_taken_for_a_mistake_that_was_noticed() -> None:
    """Whatever the exit code is."""
    broken = MUTATIONS[0]._replace(edits=(MUTATIONS[0].edits[0]._replace(new="            raise ImportError"),))
    assert not play(broken, 9).caught
