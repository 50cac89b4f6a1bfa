"""Events per CPU second of the whole daemon on a real broker: `make bench`, or `python -m bench.throughput --help`.

In one run, in turns: (a) the bare `getmany` loop, (b) `meter run` with its default settings against the smallest
provider, while 100 limits questions a second are asked. The process under test has a core of its own; broker,
provider and questions share the others.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench import events, report
from bench.process_figures import cores
from bench.rounds import Trial
from meter.errors import MeterError
from meter.localkafka import LocalKafka


def main() -> int:
    """0; 1 when an event was not billed exactly once, or a process failed."""
    options = _options()
    if sys.platform != "linux":
        print(
            "bench: needs Linux: it gives processes cores of their own and reads their figures in /proc",
            file=sys.stderr,
        )
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="meter-bench-") as folder:
            found = _measure(options.events, options.rounds, Path(folder))
    except MeterError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.show(found)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    for fault in report.faults(found):
        print(f"bench: {fault}", file=sys.stderr)
    return 1 if report.faults(found) else 0


def _measure(total: int, rounds: int, folder: Path) -> report.Report:
    core, others = cores()
    os.sched_setaffinity(0, others)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a new topic has no leader yet: it is tried again
    _say("starting Apache Kafka")
    with LocalKafka(quick_start=False) as kafka:
        started = time.monotonic()
        _say(f"producing {total:,} events")
        asyncio.run(events.produce(kafka.bootstrap_servers, total))
        _say(f"produced in {time.monotonic() - started:.0f} s")
        trial = Trial(folder, kafka.bootstrap_servers, total, core)
        return report.report(total, core not in others, [_turn(trial, n, rounds) for n in range(1, rounds + 1)])


def _turn(trial: Trial, number: int, rounds: int) -> report.Round:
    bare = trial.bare()
    _say(f"round {number} of {rounds}: the bare loop took {bare.cpu_seconds:.2f} CPU seconds")
    meter = trial.meter()
    _say(f"round {number} of {rounds}: meter took {meter.cpu_seconds:.2f} CPU seconds, {meter.wall_seconds:.2f} in all")
    return report.Round(bare, meter)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__)
    parser.add_argument("--events", type=_at_least_one, default=1_000_000, metavar="N", help="default: 1000000")
    parser.add_argument("--rounds", type=_at_least_one, default=3, metavar="N", help="turns of each; default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, too")
    return parser.parse_args()


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
