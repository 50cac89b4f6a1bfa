"""The dedupe window at its size: filling, looking up, memory, the longest call: `python -m bench.window`."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.decode import canonical
from meter.pipeline.dedupe import Window

MAX_IDS = 2_000_000
FILL_IDS = 1000
LOOKUP_IDS = 500
LOOKUPS = 400
PAGE_BYTES = 4096


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def seconds_of(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def fill(window: Window, first: int, ids: int) -> list[float]:
    """CPU seconds of each call."""
    digests = list(range(FILL_IDS))
    spent = []
    for start in range(first, first + ids, FILL_IDS):
        keys = [f"{number:08x}-9d1d-4c0c-8a3e-2b1d3f4a5b6c" for number in range(start, start + FILL_IDS)]
        spent.append(seconds_of(lambda keys=keys, at=start / 1000: window.remember(keys, digests, at)))  # type: ignore[misc] # defaults bind the loop's values
    return spent


def lookup_nanoseconds(window: Window) -> float:
    """Median per id, none of which is known; keys are new, so their hashes are paid for as well."""
    spent = []
    for number in range(LOOKUPS):
        keys = [f"{number}-{index}-4c0c-8a3e-2b1d3f4a5b6c" for index in range(LOOKUP_IDS)]
        spent.append(seconds_of(lambda keys=keys: window.lookup(keys)))  # type: ignore[misc] # the default binds it
    return sorted(spent)[LOOKUPS // 2] / LOOKUP_IDS * 1e9


def msgspec_nanoseconds() -> float:
    """Parsing one event: the yardstick of this machine in this minute."""
    value, parse = msgspec.json.encode(canonical(7)), msgspec.json.Decoder().decode
    return min(seconds_of(lambda: [parse(value) for _ in range(20_000)]) for _ in range(5)) / 20_000 * 1e9


def main() -> None:
    yardstick = msgspec_nanoseconds()
    fill(Window(FILL_IDS, 1.0), 0, FILL_IDS)  # what numpy takes when it is first used is not the window's
    before = resident_bytes()
    window = Window(MAX_IDS, 86400.0)
    print(f"msgspec parses an event in {yardstick:.0f} ns")
    print("  ids ever      kept  fill ns/id  ratio  miss ns/id  longest ms  bytes/id")
    ever = 0
    for ids in (1_000, 99_000, 900_000, 1_000_000, 1_000_000, 1_000_000):
        spent = fill(window, ever, ids)
        ever += ids
        each = sum(spent) / ids * 1e9
        held = (resident_bytes() - before) / len(window)
        print(
            f"{ever:>10}{len(window):>10}{each:>12.0f}{each / yardstick:>7.2f}"
            f"{lookup_nanoseconds(window):>12.0f}{max(spent) * 1e3:>12.2f}{held:>10.0f}"
        )
    print(f"expire everything: {seconds_of(lambda: window.expire(1e9)) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
