"""One schedule in the simulation of the machine alone, from its first record to the last end."""

from collections import Counter

from tests.simulation.provider import UNLOCKED
from tests.simulation.schedule import Case, check_ends, play, settle
from tests.simulation.world import World

NO_FAULTS = frozenset(
    {
        "only an operator could help",
        "parked by an operator",
        "parked by an operator, later",
        "provider: Rejected",
        "provider: UnknownCustomer",
        UNLOCKED,
        "rebalance",
    }
)


def run(case: Case) -> Counter[str]:
    """What has struck before everything was left in peace; raises whatever goes wrong."""
    world = World(case.seed, case.members)
    play(world, case.schedule)
    struck = world.struck.copy()
    struck[UNLOCKED] += world.provider.unlocked_total
    settle(world)
    check_ends(world.broker, world.provider, [member.machine for member in world.members])
    for member in world.members:
        assert member.machine.next(world.now()).wake_at == float("inf"), "it wants to be woken, and has nothing to do"
    return struck
