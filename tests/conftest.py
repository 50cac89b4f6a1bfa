"""At the end of a run: how many tests of each kind there were, and how long they took."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

KINDS = ("unit", "property", "simulation", "contract", "integration")
REPOSITORY = "repository"
"""The tests beside the folders: layers, documents."""

ROOT = Path(__file__).parent


def kind(path: Path) -> str:
    """Which kind of test the file holds: the folder right below tests/."""
    first = path.relative_to(ROOT).parts[0]
    return first if first in KINDS else REPOSITORY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line per kind, before pytest's own last line."""
    counts: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for outcome in ("passed", "failed", "error", "skipped", "xfailed"):
        for report in terminalreporter.getreports(outcome):
            folder = kind(ROOT.parent / report.nodeid.partition("::")[0])
            counts[folder] += report.when != "teardown"  # whose error belongs to a test that is counted already
            seconds[folder] += report.duration
    if not counts:
        return
    terminalreporter.section("tests by kind")
    for name in (*KINDS, REPOSITORY):
        if counts[name]:
            terminalreporter.write_line(f"{name:<12}{counts[name]:>6} tests{seconds[name]:>9.1f} s")
