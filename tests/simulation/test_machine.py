"""The machine under random assignments, revocations, records, answers, writes, kills, stops and time."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation.schedule import KINDS, Step, check_ends, play, settle
from tests.simulation.world import World

steps = st.tuples(st.integers(0, KINDS), st.integers(0, 60), st.integers(0, 60))


@given(seed=st.integers(0, 2**32 - 1), members=st.integers(1, 3), schedule=st.lists(steps, min_size=20, max_size=120))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_happens_every_event_is_billed_once_or_parked(seed: int, members: int, schedule: list[Step]) -> None:
    """Invariants 1 to 6 at every step (in `World` and `Broker`); at the end every event has exactly one end."""
    world = World(seed, members)
    play(world, schedule)
    settle(world)
    check_ends(world)
