"""What the throughput bench has measured, as a table for people and as JSON for programs."""

import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from bench.bare_loop import BareFigures
from bench.rounds import MeterFigures

HEADINGS = ("min", "median", "max", "wanted")


class Round(msgspec.Struct):
    """One turn of each."""

    bare: BareFigures
    meter: MeterFigures


class Spread(msgspec.Struct):
    """One figure over all rounds."""

    name: str
    lowest: float
    median: float
    highest: float
    wanted: float | None
    """The least that the project asks of the median, on a machine that is not busy with other things."""


class Report(msgspec.Struct):
    """Everything."""

    events: int
    pinned: bool
    summary: list[Spread]
    rounds: list[Round]


class _Figure(NamedTuple):
    name: str
    of: Callable[[Round], float]
    wanted: float | None = None


def report(events: int, pinned: bool, rounds: Sequence[Round]) -> Report:
    """The spread of every figure over the rounds."""
    return Report(events, pinned, [_spread(figure, rounds) for figure in _figures(events)], list(rounds))


def _figures(events: int) -> Iterable[_Figure]:
    yield _Figure("bare loop: events per CPU second", lambda one: events / one.bare.cpu_seconds)
    yield _Figure("bare loop: CPU microseconds per event", lambda one: 1e6 * one.bare.cpu_seconds / events)
    yield _Figure("bare loop: resident MiB at most", lambda one: one.bare.resident_mebibytes)
    yield _Figure("meter: events per CPU second", lambda one: events / one.meter.cpu_seconds, 100_000)
    yield _Figure("meter: events per wall second", lambda one: events / one.meter.wall_seconds)
    yield _Figure("meter: CPU microseconds per event", lambda one: 1e6 * one.meter.cpu_seconds / events)
    yield _Figure("meter: resident MiB at most", lambda one: one.meter.resident_mebibytes)
    yield _Figure("its core, % used by others", lambda one: 100 * one.meter.others_seconds / one.meter.wall_seconds)
    yield _Figure("meter / bare loop, in CPU", lambda one: one.bare.cpu_seconds / one.meter.cpu_seconds, 0.13)
    yield _Figure("limits: answers per second", lambda one: one.meter.limits.answers_per_second)
    yield _Figure("limits: p50 milliseconds", lambda one: one.meter.limits.p50_milliseconds)
    yield _Figure("limits: p99 milliseconds", lambda one: one.meter.limits.p99_milliseconds)


def _spread(figure: _Figure, rounds: Sequence[Round]) -> Spread:
    values = [figure.of(one) for one in rounds]
    return Spread(figure.name, min(values), statistics.median(values), max(values), figure.wanted)


def show(found: Report) -> None:
    """On a terminal a table; in a pipe one line per figure, columns separated by tabs."""
    if not sys.stdout.isatty():
        print("figure", *HEADINGS, sep="\t")
        for one in found.summary:
            print(one.name, *_cells(one), sep="\t")
        return
    table = Table("", title=f"{found.events:,} events, {len(found.rounds)} rounds")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for one in found.summary:
        table.add_row(one.name, *_cells(one))
    Console().print(table)


def faults(found: Report) -> list[str]:
    """Why these figures do not count: some event was not billed, or billed twice."""
    return [
        f"round {number}: {one.meter.sink.keys} distinct keys and {one.meter.sink.events} events at the provider, "
        f"{found.events} produced"
        for number, one in enumerate(found.rounds, start=1)
        if not one.meter.sink.keys == one.meter.sink.events == found.events
    ]


def _cells(one: Spread) -> list[str]:
    return [_short(value) for value in (one.lowest, one.median, one.highest, one.wanted)]


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
