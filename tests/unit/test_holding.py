"""Which keys are on their way, and which copies wait for them."""

from meter.pipeline.holding import Holding
from tests.builders import event


def test_a_key_belongs_to_one_event_at_a_time() -> None:
    """Invariant 4: the first has it, every other waits."""
    holding, first, copy = Holding(), event("a"), event("a", offset=1)
    assert holding.claim([first]) == [first]
    assert holding.claim([copy]) == []
    other, its_copy = event("b"), event("b", offset=1)
    assert holding.claim([other, its_copy]) == [other]
    assert len(holding) == 2


def test_an_accepted_event_answers_for_all_its_copies() -> None:
    """They come back to be named duplicates, and the key is free."""
    holding, copies = Holding(), [event("a", offset=1), event("a", offset=2)]
    first, other, later = event("a"), event("b"), event("a", offset=3)
    holding.claim([first, other, *copies])
    assert holding.settle([other, first]) == [(first, copy) for copy in copies]
    assert len(holding) == 0
    assert holding.claim([later]) == [later]


def test_after_a_rejection_the_oldest_copy_takes_its_turn() -> None:
    """C3: and the ones behind it wait for it now."""
    holding, second, third = Holding(), event("a", offset=1), event("a", offset=2)
    holding.claim([event("a"), second, third])
    assert holding.give_up("a") is second
    assert not holding.claim([event("a", offset=3)])
    assert holding.give_up("a") is third
    assert holding.give_up("a") is not None
    assert holding.give_up("a") is None
    assert len(holding) == 0


def test_copies_of_an_assignment_that_is_over_wait_no_longer() -> None:
    """The key stays with its event, which may be in flight."""
    holding, first, later = Holding(), event("a", epoch=1), event("a", epoch=2, offset=1)
    holding.claim([first, event("a", epoch=1, offset=1), later])
    assert len(holding.take_copies(lambda copy: copy.epoch == 1)) == 1
    assert holding.settle([first]) == [(first, later)]
