"""The list of mutations is kept up to date; playing them takes minutes: `python -m tests.simulation.mutations`."""

import pytest

from tests.simulation.mistakes import MUTATIONS, Mutation
from tests.simulation.mutations import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_finds_its_place_in_the_machine(mutation: Mutation) -> None:
    """Whoever changes that line is told to change the mutation with it."""
    for edit in mutation.edits:
        assert edit.old in (ROOT / "meter" / "pipeline" / edit.file).read_text()
        assert edit.old != edit.new
