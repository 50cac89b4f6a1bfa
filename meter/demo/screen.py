"""What the demo shows: live bars on a terminal, plain lines in a pipe, and the table at the end."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from meter.demo.processes import TOPIC, Installation
from meter.demo.reconciliation import Fault
from meter.demo.watch import Seen

_PLAIN_LINE_SECONDS = 3.0
_HEADING_WIDTH = 10
_NUMBER_WIDTH = 12
_HELD_SCALE_SHARE = 0.1  # what fills the bars of held and lag, as a share of the stream

Section = tuple[str, Sequence[tuple[str, str]]]


class Screen:
    """One demo's output; `records_total` is what its bars count to. Use as a context manager."""

    def __init__(self, records_total: int, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._total = records_total
        self._started = time.monotonic()
        self._last_line = 0.0
        self._bars = Progress(
            TextColumn("         {task.description:<9}"),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[shown]}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start_clock(self, already_seconds: float = 0.0) -> None:
        """The first process starts now, or has been running for some seconds."""
        self._started = time.monotonic() - already_seconds

    @property
    def elapsed_seconds(self) -> float:
        """Since the first process was started."""
        return time.monotonic() - self._started

    def title(self, text: str) -> None:
        """A line without a time."""
        self._line(f"[bold]{escape(text)}[/bold]")

    def say(self, text: str, style: str = "") -> None:
        """One line of the story, with its time."""
        line = f"{self.elapsed_seconds:5.1f} s  {escape(text)}"
        self._line(f"[{style}]{line}[/{style}]" if style else line)

    def progress(self, produced: int, seen: Seen) -> None:
        """How far everybody is."""
        if not self._console.is_terminal:
            self._plain_progress(produced, seen)
            return
        if not self._tasks:
            self._bars.start()
            scale = max(1.0, self._total * _HELD_SCALE_SHARE)
            totals = {"produced": self._total, "billed": self._total, "held": scale, "lag": scale}
            self._tasks = {name: self._bars.add_task(name, total=total, shown="") for name, total in totals.items()}
        self._bar("produced", produced, f"{produced:,} of {self._total:,}")
        self._bar("billed", seen.billed, f"{seen.billed:,}")
        for name, value in (("held", seen.held), ("lag", seen.lag)):
            self._bar(name, value if seen.works else 0, f"{value:,}" if seen.works else f"({seen.absence})")

    def _bar(self, name: str, value: int, shown: str) -> None:
        self._bars.update(self._tasks[name], completed=value, shown=shown)

    def end_progress(self) -> None:
        """Take the bars away."""
        self._bars.stop()

    def table(self, sections: Sequence[Section]) -> None:
        """What was found, a heading and its facts per section."""
        self._console.print()
        for heading, facts in sections:
            for index, (number, words) in enumerate(facts):
                shown = f"{'' if index else heading:<{_HEADING_WIDTH}}"
                self._line(f"[bold]{shown}[/bold]{number:>{_NUMBER_WIDTH}}  {escape(words)}")
        self._console.print()

    def verdict(self, faults: Sequence[Fault], summary: str) -> None:
        """One line; after it what is wrong, if anything is."""
        if not faults:
            self._line(f"[bold green]OK[/bold green]  {escape(summary)}")
            return
        checks = f"{len(faults)} check{'s' if len(faults) > 1 else ''}"
        self._line(f"[bold red]FAILED[/bold red]  the books do not balance: {checks} failed")
        for fault in faults:
            self._line(f"  [red]{escape(str(fault))}[/red]")

    def kept(self, here: Installation, customer: str, product: str, *, data_stays: bool) -> None:
        """Where everything is, what one may try, and how it ends."""
        config = f"--config {here.config_file}"
        lines = (
            "everything goes on running:",
            f"  kafka    {here.bootstrap_servers}, topic {TOPIC}",
            f"  sandbox  {here.sandbox_url}/sandbox/totals",
            f"  meter    {here.meter_url}/status, /metrics, /readyz",
            f"  logs     {here.folder}/*.log",
            "try, in another terminal:",
            f"  meter status {config}",
            f"  meter limits {customer} {product} {config}",
            f"  meter dead-letters list {config}",
            f"  meter audit {config}",
            "Ctrl-C stops everything" + ("; logs and data stay" if data_stays else " and deletes its data"),
        )
        for line in lines:
            self._line(escape(line))

    def _line(self, markup: str) -> None:
        """One line however long: the terminal wraps it, a pipe gets it whole."""
        self._console.print(markup, soft_wrap=True)

    def _plain_progress(self, produced: int, seen: Seen) -> None:
        if self.elapsed_seconds - self._last_line < _PLAIN_LINE_SECONDS:
            return
        self._last_line = self.elapsed_seconds
        rest = f"held {seen.held:>6,}   lag {seen.lag:>7,}" if seen.works else f"({seen.absence})"
        self.say(f"produced {produced:>7,}   billed {seen.billed:>7,}   {rest}")
