"""The dedupe window at its full size: how fast it fills, what an id takes, how long it holds the loop.

`python -m bench.window`. Each row is one way in which the window is worked on; a step is one receipt, and the loop
turns after two of them. The last row is the whole way from a record's bytes, as after a restart. Exits with 1 if a
limit is missed.
"""

import gc
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.decode import canonical
from bench.machine import NOW, OPTIONS
from meter.daemon import GC_THRESHOLDS
from meter.pipeline import receipt as receipts
from meter.pipeline.assignment import ENDED_ALLOWANCE
from meter.pipeline.dedupe import Window
from meter.pipeline.machine import Machine
from meter.pipeline.receipt import ACCEPTED, VERSION, Receipt
from meter.pipeline.start import Choice, Start

MAX_IDS = OPTIONS.window_max_ids
WINDOW_SECONDS = OPTIONS.window_seconds
STEP_IDS = OPTIONS.batch.max_events
MOST_BYTES = 60
LEAST_PER_SECOND = 1_000_000
LONGEST_MILLISECONDS = 5.0
PAGE_BYTES = 4096
ROUNDS = 3

Step = Callable[[], object]


class Row(NamedTuple):
    """What some steps took, in CPU seconds each."""

    name: str
    ids: int
    spent: Sequence[float]

    def per_second(self) -> float:
        return self.ids / sum(self.spent)

    def longest_milliseconds(self) -> float:
        return max(self.spent) * 1e3

    def shown(self, yardstick: float) -> str:
        each = sum(self.spent) / self.ids * 1e9
        return (
            f"{self.name:44}{self.ids:>10,}{each:>8.0f}{each / yardstick:>7.2f}"
            f"{self.per_second():>16,.0f}{self.longest_milliseconds():>9.2f}"
        )


def best_of(rounds: Iterable[Row]) -> Row:
    """Each step as fast as it ever was: a neighbour on the machine strikes elsewhere each time, a step that is long
    is long in every round."""
    name, ids, first = next(rounds := iter(rounds))
    return Row(name, ids, [min(times) for times in zip(first, *(row.spent for row in rounds), strict=True)])


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def seconds_of(step: Step) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def measured(name: str, steps: Iterable[tuple[int, Step]]) -> Row:
    """Each step is made outside the measured time."""
    ids, spent = 0, []
    for count, step in steps:
        spent.append(seconds_of(step))
        ids += count
    return Row(name, ids, spent)


def keys_of(first: int) -> list[str]:
    return [f"{number:08x}-9d1d-4c0c-8a3e-2b1d3f4a5b6c" for number in range(first, first + STEP_IDS)]


def remembering(window: Window, first: int, ids: int, at: Callable[[int], float]) -> Iterator[tuple[int, Step]]:
    """One receipt after the other, the ids from `first` on, each with its time."""
    digests = list(range(STEP_IDS))
    for start in range(first, first + ids, STEP_IDS):
        yield STEP_IDS, partial(window.remember, keys_of(start), digests, at(start))


def ageing(window: Window, first: int, ids: int) -> Iterator[tuple[int, Step]]:
    """New ids, so much later each time that as many leave by their age."""

    def step(keys: list[str], at: float) -> None:
        window.expire(at)
        window.remember(keys, range(STEP_IDS), at)

    for start in range(first, first + ids, STEP_IDS):
        yield STEP_IDS, partial(step, keys_of(start), time_of(start))


def time_of(number: int) -> float:
    """Ids come so fast that the window's time and its size end together."""
    return number * WINDOW_SECONDS / MAX_IDS


def looking_up(window: Window, first: int, ids: int) -> Iterator[tuple[int, Step]]:
    for start in range(first, first + ids, STEP_IDS):
        yield STEP_IDS, partial(window.lookup, keys_of(start))


def restarting(ids: int) -> Iterator[tuple[int, Step]]:
    """A new process reads its receipts, from their bytes; as much above the commit as can have ended there."""
    machine = Machine(OPTIONS, random.Random(1))  # noqa: S311  # a bench, no secret
    start_at = Start(ids - int(ENDED_ALLOWANCE * OPTIONS.max_held_events))
    machine.assigned("cluster", {0: start_at}, Choice("earliest", NOW.wall_seconds, 1), 0.0, NOW)

    def step(offset: int, value: bytes) -> None:
        found = receipts.decode(value)
        if found is not None:
            machine.remember(0, offset, found)

    for start in range(0, ids, STEP_IDS):
        yield STEP_IDS, partial(step, start // STEP_IDS, receipt_bytes(start))


def receipt_bytes(first: int) -> bytes:
    return receipts.encode(
        Receipt(
            VERSION,
            *OPTIONS.owner,
            partition=0,
            batch=f"bench-{first}",
            at=NOW.wall_seconds,
            offsets=list(range(first, first + STEP_IDS)),
            keys=keys_of(first),
            ends=ACCEPTED * STEP_IDS,
            references=["usg_00000000000000000000"] * STEP_IDS,
            digests=[number * 2_654_435_761 % 2**32 for number in range(first, first + STEP_IDS)],
        )
    )


def msgspec_nanoseconds() -> float:
    """Parsing one event: the yardstick of this machine in this minute."""
    value, parse = msgspec.json.encode(canonical(7)), msgspec.json.Decoder().decode
    return min(seconds_of(lambda: [parse(value) for _ in range(20_000)]) for _ in range(5)) / 20_000 * 1e9


def rows(window: Window) -> Iterator[Row]:
    yield measured("growing, until it is full", remembering(window, 0, MAX_IDS, lambda number: 0.0))
    yield measured("full: each id pushes out the oldest", remembering(window, MAX_IDS, MAX_IDS, lambda number: 0.0))
    yield measured("refilled after a revocation: all are known", remembering(window, MAX_IDS, MAX_IDS, time_of))
    yield measured("looked up, unknown", looking_up(window, 3 * MAX_IDS, MAX_IDS // 10))
    yield measured("looked up, known", looking_up(window, MAX_IDS, MAX_IDS // 10))
    yield measured("one day on: as many leave by age", ageing(window, 2 * MAX_IDS, 2 * MAX_IDS))
    everything = [(len(window), lambda: window.expire(1e12))]
    yield measured("all leave at once", everything)
    yield measured("growing again", remembering(window, 4 * MAX_IDS, MAX_IDS, lambda number: 2e12))
    yield measured("receipts, from their bytes", restarting(MAX_IDS))


def main() -> int:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)  # as in the daemon
    yardstick = msgspec_nanoseconds()
    Window(STEP_IDS, 1.0).remember(keys_of(0), range(STEP_IDS), 0.0)  # what numpy takes at first is not the window's
    before, rounds, held = resident_bytes(), list[list[Row]](), 0.0
    for _ in range(ROUNDS):
        window, done = Window(MAX_IDS, WINDOW_SECONDS), list[Row]()
        for row in rows(window):
            done.append(row)
            if not rounds and len(done) < 3:  # while nothing else has been made
                held = max(held, (resident_bytes() - before) / len(window))
        rounds.append(done)
    best = [best_of(same) for same in zip(*rounds, strict=True)]
    say = sys.stdout.write
    say(f"{MAX_IDS:,} ids, {STEP_IDS} a step, the best of {ROUNDS} rounds; ")
    say(f"msgspec parses an event in {yardstick:.0f} ns (`ratio`)\n")
    say(f"{'':44}{'ids':>10}{'ns/id':>8}{'ratio':>7}{'ids/s':>16}{'longest':>9} ms, all in CPU time\n")
    for row in best:
        say(row.shown(yardstick) + "\n")
    slowest = min(row.per_second() for row in (best[0], best[-1]))
    longest = max(row.longest_milliseconds() for row in best)
    say(f"{held:.1f} bytes an id, age and digest included (limit {MOST_BYTES})\n")
    say(f"filled with {slowest:,.0f} ids/s (limit {LEAST_PER_SECOND:,}), longest step {longest:.2f} ms ")
    say(f"(limit {LONGEST_MILLISECONDS:.0f})\n")
    return held > MOST_BYTES or slowest < LEAST_PER_SECOND or longest > LONGEST_MILLISECONDS


if __name__ == "__main__":
    sys.exit(main())
