"""`make chaos`, or `python -m tests.chaos --seeds 20 --events 50000`: seeds one after the other, results kept.

A seed that has its result in the folder is not played again, so that a long run can be interrupted and resumed.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from meter.localkafka import LocalKafka
from tests.brokers import Broker
from tests.chaos.story import Result, play

say = sys.stdout.write


def main() -> int:
    """Plays what has no result yet and adds everything up; exits with 1 when a guarantee was broken."""
    arguments = _arguments()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own clients, while the broker is dead
    arguments.results.mkdir(parents=True, exist_ok=True)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    results = [_result(seed, arguments) for seed in seeds]
    struck = sum((Counter(result.struck) for result in results), Counter[str]())
    for fault, times in sorted(struck.items()):
        say(f"{times:8,}  {fault}\n")
    broken = [result.seed for result in results if result.faults]
    events = sum(result.events for result in results)
    say(f"{len(results)} seeds, {events:,} events, {sum(result.seconds for result in results):.0f} s: ")
    say(f"broken by seeds {broken}\n" if broken else "0 lost, 0 billed twice, 0 invalid billed, 0 valid parked\n")
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--times", type=int, default=3, help="how often each kind of fault strikes")
    parser.add_argument("--results", type=Path, default=Path("build/chaos"), help="where results are kept")
    parser.add_argument("--copies", choices=("anywhere", "in-partition"), default="anywhere")
    parser.add_argument("--key-memory-seconds", type=float, help="the provider forgets keys after so long")
    return parser.parse_args()


def _result(seed: int, arguments: argparse.Namespace) -> Result:
    variant = f"{arguments.events}-{arguments.times}-{arguments.copies}-{arguments.key_memory_seconds or 'forever'}"
    path = arguments.results / f"seed-{seed}-{variant}.json"
    if path.exists():
        return Result(**json.loads(path.read_text()))
    say(f"seed {seed}: ")
    sys.stdout.flush()
    result = _played(seed, arguments)
    path.write_text(json.dumps(result.as_json(), indent=1) + "\n")
    say(f"{result.seconds:.0f} s, {sum(result.struck.values())} faults, {'; '.join(result.faults) or 'kept'}\n")
    return result


def _played(seed: int, arguments: argparse.Namespace) -> Result:
    with LocalKafka() as kafka, TemporaryDirectory(prefix="meter-chaos-") as folder:
        story = play(
            seed,
            arguments.events,
            Broker(kafka.bootstrap_servers, kafka),
            Path(folder),
            times=arguments.times,
            anywhere=arguments.copies == "anywhere",
            key_memory_seconds=arguments.key_memory_seconds,
        )
        return asyncio.run(story)


if __name__ == "__main__":
    sys.exit(main())
