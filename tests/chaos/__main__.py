"""`make chaos`, or `python -m tests.chaos everything --seeds 20`: seeds one after the other, results kept.

A seed that has its result in the folder is not played again, so that a long run can be interrupted and resumed. Of one
that broke a guarantee everything is kept beside its result: logs, the provider's rows, the broker's data.
"""

import argparse
import asyncio
import json
import logging
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from meter.localkafka import LocalKafka
from tests.brokers import Broker
from tests.chaos.story import play
from tests.chaos.variants import VARIANTS, Variant
from tests.chaos.verdict import PROMISES, Result, added

say = sys.stdout.write


def main() -> int:
    """Plays what has no result yet and adds everything up; exits with 1 when a guarantee was broken."""
    arguments = _arguments()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own clients, while the broker is dead
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # what it started ends with it
    arguments.results.mkdir(parents=True, exist_ok=True)
    played: dict[str, list[Result]] = {}
    for name in arguments.variants or VARIANTS:
        variant = _as_asked(VARIANTS[name], arguments)
        seeds = range(arguments.first, arguments.first + variant.seeds)
        played[name] = [_result(seed, name, variant, arguments.results) for seed in seeds]
    for name, results in played.items():
        _tell(name, VARIANTS[name], results)
    return 1 if any(result.faults for results in played.values() for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    told = "; ".join(f"{name}: {variant.says}" for name, variant in VARIANTS.items())
    parser.add_argument("variants", nargs="*", metavar="variant", help=f"{told}; none: all")
    parser.add_argument("--seeds", type=int, help="how many; without it as many as the variant has")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--events", type=int, help="how many a seed")
    parser.add_argument("--times", type=int, help="how often each kind of fault strikes a seed")
    parser.add_argument("--results", type=Path, default=Path("build/chaos"), help="where results are kept")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.variants if name not in VARIANTS]:
        parser.error(f"no such variant: {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    return arguments


def _as_asked(variant: Variant, arguments: argparse.Namespace) -> Variant:
    """The variant with the numbers of the command line."""
    given = {name: getattr(arguments, name) for name in ("seeds", "events", "times")}
    return replace(variant, **{name: number for name, number in given.items() if number is not None})


def _result(seed: int, name: str, variant: Variant, results: Path) -> Result:
    """Of an earlier run, or of this."""
    folder = (results / f"{name}-{variant.events}-{variant.times}-seed-{seed}").resolve()
    path = folder.with_suffix(".json")
    if path.exists():
        return Result(**json.loads(path.read_text()))
    say(f"{name}, seed {seed}: ")
    sys.stdout.flush()
    result = _played(seed, name, variant, folder)
    path.write_text(json.dumps(result.as_json(), indent=1) + "\n")
    struck = sum(times for what, times in result.struck.items() if ":" in what or what == "partition added")
    say(f"{result.seconds:.0f} s, {struck} faults struck, {'; '.join(result.faults) or 'every guarantee was kept'}\n")
    sys.stdout.flush()
    return result


def _played(seed: int, name: str, variant: Variant, folder: Path) -> Result:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
    folder.mkdir(parents=True)
    with LocalKafka(data=folder / "kafka") as kafka:
        broker = Broker(kafka.bootstrap_servers, kafka)
        result = asyncio.run(play(seed, variant, broker, folder, name=name))
    if not result.faults:
        shutil.rmtree(folder)
    return result


def _tell(name: str, variant: Variant, results: Sequence[Result]) -> None:
    """What came of a variant's seeds."""
    events = sum(result.events for result in results)
    seconds = sum(result.seconds for result in results)
    say(f"\n{name}: {variant.says}\n{len(results)} seeds, {events:,} events, {seconds:,.0f} s\n")
    _list("struck", added(results, "struck"))
    if outages := _longest(results, "outages"):
        _list("longest outages, in seconds", outages)
    _list("measured", {**added(results, "measured"), **_longest(results, "measured", "in seconds")})
    if variant.may_bill_twice:
        _list("billed more than once, by cause", added(results, "doubles"))
    promises = added(results, "promises")
    say("=> " + ", ".join(f"{promises[promise]:,} {promise}" for promise in PROMISES.values()) + "\n")
    if broken := [result.seed for result in results if result.faults]:
        say(f"=> BROKEN by seeds {broken}\n")


def _longest(results: Sequence[Result], column: str, ending: str = "") -> dict[str, float]:
    """The highest numbers of a column, of those whose names end so."""
    found: dict[str, float] = {}
    for result in results:
        numbers: dict[str, float] = getattr(result, column)
        for what in numbers:
            if what.endswith(ending):
                found[what] = max(found.get(what, 0.0), numbers[what])
    return found


def _list(title: str, numbers: Mapping[str, float]) -> None:
    say(f"{title}:\n" + "".join(f"{numbers[what]:10,}  {what}\n" for what in sorted(numbers)))


if __name__ == "__main__":
    sys.exit(main())
