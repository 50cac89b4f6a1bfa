"""The tables that the documents must show, made from the code itself; and how a table in a document is read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from prometheus_client.parser import text_string_to_metric_families
from pydantic.fields import FieldInfo
from typer.main import get_command

from meter.cli import app
from meter.metrics import Metrics, Readings
from meter.pipeline.counts import Counts
from meter.sandbox.mcp.parameters import Parameter
from meter.sandbox.mcp.tools import tools
from meter.settings.options import every_option

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]

Row = tuple[str, ...]


def table(document: Path, heading: str) -> list[Row]:
    """The rows of the first table under `heading`, without its head."""
    section = document.read_text(encoding="utf-8").split(f"# {heading}\n", 1)[1]
    lines = iter(section.splitlines())
    rows: list[str] = []
    for line in lines:
        if line.startswith("|"):
            rows.append(line)
        elif rows:
            break
    return [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]) for row in rows[2:]]


def blocks(document: Path, language: str) -> Iterator[str]:
    """The fenced blocks of that language."""
    yield from re.findall(
        rf"^```{language}\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def options() -> list[Row]:
    """(option, default, description) of everything that can be set."""
    return [(f"`{name}`", _default(info), f"{info.description}{_choices(info)}") for name, info in every_option()]


def metrics() -> list[Row]:
    """(name with its labels, type, meaning) of every metric that is meter's own."""
    return sorted(_metrics(_full_scrape()))


def commands() -> list[Row]:
    """(command, its options, first sentence of its help) of everything that can be typed."""
    return [
        (f"`{' '.join([name, *_arguments(command)])}`", " ".join(_options(command)), command.help.split("\n")[0])
        for name, command in _walk(get_command(app), "meter")
    ]


def sandbox_tools() -> list[Row]:
    """(tool, what it takes, its twin in REST) of every tool of the sandbox."""
    return [
        (
            f"`{tool.name}`",
            ", ".join(_parameter(each) for each in tool.parameters),
            f"`{' '.join(tool.twin)}`" if tool.twin else "none",
        )
        for tool in tools()
    ]


def sandbox_parameters() -> list[Row]:
    """(parameter, its other names) of every parameter of a tool that has any."""
    found: dict[str, dict[str, None]] = {}
    for tool in tools():
        for each in tool.parameters:
            found.setdefault(each.name, {}).update(dict.fromkeys([*each.others, *each.also]))
    return [(f"`{name}`", ", ".join(f"`{other}`" for other in others)) for name, others in found.items() if others]


def _parameter(parameter: Parameter) -> str:
    return f"**`{parameter.name}`**" if parameter.required else f"`{parameter.name}`"


def command_words() -> dict[str, set[str]]:
    """Command -> the options that it takes."""
    return {
        name: {word for one in command.params for word in one.opts}
        for name, command in _walk(get_command(app), "meter")
    }


def _default(info: FieldInfo) -> str:
    """In words: `none`, `true`, a number, or a text; derived defaults name what they are derived from."""
    value = info.default
    if info.default_factory is not None:
        factory: Any = info.default_factory
        value = factory({"topic": "<topic>", "base_url": "<base_url>"})
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _choices(info: FieldInfo) -> str:
    words = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    return f" One of {', '.join(f'`{word}`' for word in words)}." if words else ""


def _full_scrape() -> str:
    """A scrape in which every metric and every label of ours is there."""
    shown, counts = Metrics("0"), Counts()
    counts.dead_letter("expired")
    counts.undebited(["customer_not_found"])
    shown.billing_paused("unauthorized")
    shown.show(counts, lambda: Readings({0: 1}, commit_age_seconds=1.0, dedupe_reach_seconds=1.0))
    return shown.render().decode()


def _metrics(scrape: str) -> Iterator[Row]:
    for family in text_string_to_metric_families(scrape):
        if family.name.startswith("meter_"):
            labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
            name = f"{family.name}_total" if family.type == "counter" else family.name
            shown = f"{name}{{{','.join(labels)}}}" if labels else name
            yield f"`{shown}`", family.type, family.documentation


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from _walk(one, f"{name} {word}")


def _arguments(command: Any) -> list[str]:
    found = [one.metavar or one.name.upper() for one in command.params if one.param_type_name == "argument"]
    return [name.replace("|", r"\|") for name in found]  # a bare one would end the cell


def _options(command: Any) -> list[str]:
    """`--config` is left out: it is explained once for all."""
    found = [one for one in command.params if one.param_type_name == "option" and one.name != "config"]
    return [f"`{'/'.join([*one.opts, *one.secondary_opts])}`" for one in found]
