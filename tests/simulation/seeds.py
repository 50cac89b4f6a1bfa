"""Random schedules without Hypothesis: `python -m tests.simulation.seeds 500` plays as many, one per seed.

It stops at the first that breaks a guarantee, says which seed that was and exits with 1; nothing is shrunk, so that
it is quick. `python -m tests.simulation.seeds 1 --first 4711` plays that seed again, with the traceback.
"""

import argparse
import random
import sys
import time
import traceback

from tests.simulation.schedule import KINDS, Step, check_ends, play, settle
from tests.simulation.world import World


def schedule(chance: random.Random) -> list[Step]:
    """Steps as the property test draws them."""
    length = chance.randint(20, 160)
    return [(chance.randint(0, KINDS), chance.randint(0, 60), chance.randint(0, 60)) for _ in range(length)]


def play_seed(seed: int) -> None:
    """One world from its first record to the last end; raises whatever goes wrong in it."""
    chance = random.Random(seed)
    world = World(seed, chance.randint(1, 3))
    play(world, schedule(chance))
    settle(world)
    check_ends(world)


def main() -> int:
    """Plays seeds until one fails or all are played."""
    parser = argparse.ArgumentParser()
    parser.add_argument("examples", type=int)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    started = time.perf_counter()
    for seed in range(arguments.first, arguments.first + arguments.examples):
        try:
            play_seed(seed)
        except Exception as fault:  # whatever it is, it is the finding
            traceback.print_exc()
            said = str(fault).splitlines() or [type(fault).__name__]
            sys.stdout.write(f"seed {seed}: {type(fault).__name__}: {said[0][:100]}\n")
            return 1
    seconds = time.perf_counter() - started
    sys.stdout.write(f"{arguments.examples} schedules in {seconds:.1f} s: every guarantee kept\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
