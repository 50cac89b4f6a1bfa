"""What the documents say is compared with the code, or executed."""

import ast
import inspect
import re
import shlex
from pathlib import Path
from typing import get_args

import httpx
import pytest

import meter
from meter import cli, health
from meter.accounting.redrive_rules import Skip
from meter.accounting.replay_rules import Left
from meter.http import api
from meter.limits import Answer
from meter.pipeline import dead_letter, dialect, refusals, rules
from meter.pipeline.concurrency import MASS_REFUSAL
from meter.pipeline.event import InvalidEvent
from meter.pipeline.headers import OUTCOME, TRUNCATED
from meter.pipeline.outcome import Refusal
from meter.pipeline.parking import PARKED
from meter.pipeline.ring import Ring
from meter.pipeline.settlement import DeadLetterWrite
from meter.sandbox.knobs import PREFIX, Knobs
from meter.settings import load
from meter.settings.options import every_option
from tests import doc_tables
from tests.builders import NOBODY_PARKS
from tests.chaos.variants import VARIANTS
from tests.doc_tables import DOCUMENTS, README, ROOT, blocks, table
from tests.records import ORIGIN, FakeRecord, usage
from tests.replicas import Replica, every_readiness_reason
from tests.simulation.simulate import GAMES

EVENTS, OPERATIONS, DELIVERY = (ROOT / "docs" / name for name in ("events.md", "operations.md", "delivery.md"))


def names(cell: str) -> set[str]:
    """Everything between backquotes in a cell."""
    return set(re.findall(r"`([^`]+)`", cell))


def test_the_readme_has_every_option_with_its_default() -> None:
    """The table is the settings model, in its order and words."""
    assert table(README, "Configuration") == doc_tables.options()


def test_the_delivery_page_has_every_variant_of_chaos() -> None:
    """In their order, with what the provider does and how much is played."""
    told = [(name, provider, said_seeds) for name, provider, _, said_seeds, _ in table(DELIVERY, "Chaos")]
    assert told == [
        (f"`{name}`", one.says.split(";")[0].removeprefix("the provider "), f"{one.seeds} of {one.events:,} events")
        for name, one in VARIANTS.items()
    ]


def test_the_number_of_schedules_is_told_as_it_is() -> None:
    """In `make help` and on the delivery page."""
    page, make = (path.read_text(encoding="utf-8") for path in (DELIVERY, ROOT / "Makefile"))
    told = re.search(r"`make simulate` plays ([0-9,]+) schedules of the machine and ([0-9,]+) of processes", page)
    assert told is not None
    assert list(told.groups()) == [f"{GAMES[name].schedules:,}" for name in ("machine", "processes")]
    assert f"{sum(game.schedules for game in GAMES.values()):,} fault schedules" in make


def test_an_id_of_the_window_takes_as_many_bytes_as_is_told() -> None:
    """In the option's text (which the README and the example repeat) and on the operations page."""
    ids = 160_000
    each = f"{Ring(ids).memory_bytes / ids:.0f} bytes"
    assert f", {each} each." in {name: str(info.description) for name, info in every_option()}["dedupe.max_ids"]
    assert f"**Memory**: {each} for each of `dedupe.max_ids`" in OPERATIONS.read_text(encoding="utf-8")


def test_the_readme_has_every_metric() -> None:
    """The table is a full scrape: names, labels, types and help texts."""
    assert table(README, "Metrics") == doc_tables.metrics()


def test_the_readme_has_every_command_with_its_options() -> None:
    """The table is the command line's own help."""
    assert table(README, "Commands") == doc_tables.commands()


def test_the_readme_has_every_exit_code() -> None:
    """Nothing ends with another code, but for a second signal, which ends it as signals do."""
    section = README.read_text(encoding="utf-8").split("Exit codes:\n", 1)[1].split("\n## ", 1)[0]
    told = {int(code) for code in re.findall(r"^\| ([0-9]+) \|", section, re.MULTILINE)}
    assert told == {0, cli.FAILED, cli.MISTAKEN, cli.INTERRUPTED}


async def test_the_readme_has_every_route() -> None:
    """The table is what the daemon itself answers at `/`."""

    class Nobody:
        def status(self) -> dict[str, object]:
            return {}

        def reasons(self) -> list[str]:
            return []

        def alive(self) -> bool:
            return True

        async def answer(self, question: object) -> Answer:
            raise AssertionError(question)

    app = api.build(Nobody(), Nobody(), lambda: b"", None, NOBODY_PARKS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://meter") as client:
        told = (await client.get("/")).json()["meter"]
    assert table(README, "Ask for limits") == [(f"`{route}`", what) for route, what in told.items()]


def test_every_field_of_an_event_is_explained_with_its_other_names() -> None:
    """A name that is understood and not documented, or the other way round, is a mistake."""
    told = {row[0].strip("`"): names(row[0]) | names(row[1]) for row in table(EVENTS, "Fields")}
    known: dict[str, set[str]] = {}
    for name, field in dialect.CANONICAL.items():
        known.setdefault(field, {field}).add(name)
    assert told == known


def test_an_event_has_the_key_that_the_table_of_identities_says() -> None:
    """In its order: a record that has everything is known by the first row, and so on down to its place alone."""
    told = [row[0] for row in table(EVENTS, "Identity")]
    first, envelope = {"idempotencyKey": "mine"}, {"specversion": "1.0", "source": "s", "id": "i"}
    data: dict[str, object] = {"customerRef": "cus_1", "requestId": "r"}
    known = {
        told[0]: usage({**envelope, "data": {**data, **first}}, ("meter-key", b"given")).key,
        told[1]: usage({**envelope, "data": {**data, **first}}).key,
        told[2]: usage({**envelope, "data": data}).key,
        told[3]: usage(data).key,
        told[4]: usage({"customerRef": "cus_1"}).key,
    }
    assert [key.partition(":")[0] for key in known.values()] == ["given", "mine", "ce", "req", ORIGIN.cluster_id]
    assert [re.sub(r"[^\w ]", "", name) for name in known] == [
        "the header meterkey", "idempotencyKey", "a CloudEvents source and id", "requestId", "none of these"
    ]  # fmt: skip


def test_every_reason_of_a_dead_letter_is_explained() -> None:
    """Operators look up what stands in `meter-reason`."""
    section = EVENTS.read_text(encoding="utf-8").split("| reason | when |\n", 1)[1]
    told = {name for line in section.splitlines() for name in names(line.split(" | ", 1)[0])}
    invalid = {f"invalid:{rule}" for rule in rules.Rule}
    late = {rules.EXPIRED, rules.FUTURE, "conflict", "too_large", PARKED}
    assert told == invalid | late | set(get_args(refusals.Reason))


def test_every_header_of_a_dead_letter_is_explained() -> None:
    """What meter adds to a record, those that are not always there included."""
    told = {name for row in table(EVENTS, "Dead letters") for name in names(row[0])}
    redriven = FakeRecord(b"{}", (("meter-origin", b"usage-events:0:1"),))
    write = DeadLetterWrite(1, InvalidEvent("future", "", redriven, 0, 0, 2, 1), "future", "")
    added = {name for name, _ in dead_letter.headers(write, "usage-events")}
    assert told == added | {OUTCOME, TRUNCATED}


def test_every_reason_for_not_being_ready_is_explained() -> None:
    """Whoever reads `/readyz` at night finds the word here; there is none that a replica never gives."""
    told = {name for row in table(OPERATIONS, "Reasons for not being ready") for name in names(row[0])}
    assert told == every_readiness_reason()
    assert told == set(re.findall(r'"([a-z_]+): ', inspect.getsource(health)))


def test_every_reason_for_a_pause_is_explained() -> None:
    """The values of `meter_billing_paused{reason}`."""
    told = {name for row in table(OPERATIONS, "Reasons why billing pauses") for name in names(row[0])}
    assert told == {reason.value for reason in Refusal} | {MASS_REFUSAL}


def test_every_reason_for_not_redriving_is_explained() -> None:
    """What a redrive leaves alone says why, and the document what to do."""
    assert {row[0] for row in table(OPERATIONS, "Dead letters")} == {f"`{skip}`" for skip in Skip}


def test_every_reason_for_not_replaying_is_explained() -> None:
    """As for a redrive."""
    assert {row[0] for row in table(OPERATIONS, "Sending again")} == {f"`{left}`" for left in Left}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Files that are linked exist."""
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [link for link in found if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_command_line_in_a_document_could_be_typed(document: Path) -> None:
    """Each `meter ...` of a shell block is a command with options that it has; each `make ...` a target."""
    known = doc_tables.command_words()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    for line in [line for block in blocks(document, "sh") for line in block.splitlines()]:
        if found := re.search(r"(?:^|[ |])(?:\.venv/bin/)?(meter .*)$", line):
            words = shlex.split(found[1], comments=True)
            command = max((name for name in known if words[: len(name.split())] == name.split()), key=len, default="")
            assert command, line
            assert {word for word in words if word.startswith("--")} <= known[command], line
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_configuration_in_a_document_is_accepted(document: Path, tmp_path: Path) -> None:
    """Copied as it stands, with the secrets from the environment, it starts."""
    secrets = {"SOLVAPAY_SECRET_KEY": "k", "METER_KAFKA__SASL_PASSWORD": "p", "METER_HTTP__TOKEN": "t"}
    for block in blocks(document, "toml"):
        file = tmp_path / "meter.toml"
        file.write_text(block, encoding="utf-8")
        load(file, secrets, needs_secret_key=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_name_in_a_document_is_known(document: Path) -> None:
    """What looks like an option, a metric or an event of the log between backquotes is one."""
    told = names(re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL))
    options = {name.strip("`") for name, *_ in doc_tables.options()}
    sections = {name.partition(".")[0] for name in options}
    shown = [name for name in told if re.fullmatch(rf"({'|'.join(sections)})\.[a-z_]+", name)]
    assert set(shown) <= options | log_events() | {f"billing.{key}" for key in Replica().standing.status()["billing"]}
    metrics = {name.strip("`").partition("{")[0] for name, *_ in doc_tables.metrics()}
    assert {name.partition("{")[0] for name in told if re.fullmatch(r"meter_[a-z_]+(\{[a-z,]+\})?", name)} <= metrics
    dotted = {name for name in told if re.fullmatch(r"(event|window|log|topic|group|partitions|commit)\.[a-z_]+", name)}
    assert dotted <= options | log_events()


def log_events() -> set[str]:
    """The names of everything that the daemon writes to its log."""
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "meter").rglob("*.py")]
    return {name for source in sources for name in re.findall(r'log\.\w+\(\s*"([a-z_.]+)"', source)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_variable_in_a_document_is_an_option(document: Path) -> None:
    """A misspelt name would be refused at the start; so would one that an option has lost."""
    known = {f"METER_{name.strip('`').upper().replace('.', '__')}" for name, *_ in doc_tables.options()}
    knobs = {f"{PREFIX}{name.upper()}" for name in Knobs.__struct_fields__}
    told = set(re.findall(r"METER_[A-Z]+__[A-Z_]*[A-Z]", document.read_text(encoding="utf-8")))
    assert told <= known | {f"{name}_FILE" for name in known} | knobs


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_program_in_a_document_compiles(document: Path) -> None:
    """The producer is also run against a broker, in the integration tests."""
    for block in blocks(document, "python"):
        compile(block, str(document), "exec")


def test_every_test_that_the_guarantees_name_exists() -> None:
    """`file.py::test_name` in docs/delivery.md is a test in that file."""
    told = re.findall(r"`(?:tests/)?([\w/]+\.py)::(test_\w+)`", DELIVERY.read_text(encoding="utf-8"))
    assert told
    assert [f"{file}::{name}" for file, name in told if name not in functions(ROOT / "tests" / file)] == []


def test_every_case_and_every_story_has_a_test() -> None:
    """No interleaving that broke some design is without its row, and no row without a test."""
    last = {"C": 8, "M": 11, "W": 10, "I": 4, "P": 10, "L": 8, "S": 5, "T": 5}
    cases = [f"{letter}{number}" for letter, end in last.items() for number in range(1, end + 1)]
    stories = [str(number) for number in (*range(1, 12), 14, 15)]
    rows = re.findall(r"^\| ([A-Z]?[0-9]+) \|.*\| (.*) \|$", DELIVERY.read_text(encoding="utf-8"), re.MULTILINE)
    assert [number for number, _ in rows] == cases + stories
    assert [number for number, shown in rows if "::test_" not in shown] == []


def functions(file: Path) -> set[str]:
    """The names of all functions in a file; none when it does not exist."""
    tree = ast.parse(file.read_text(encoding="utf-8") if file.exists() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_map_shows_every_file() -> None:
    """The docstring of `meter` is the tree as it is; nothing is missing and nothing is left over."""
    folders: list[str] = []
    told = []
    for line in (meter.__doc__ or "").split("in reading order:\n", 1)[1].splitlines():
        if not line.strip():
            continue
        name, depth = line.split()[0], (len(line) - len(line.lstrip())) // 2
        del folders[depth:]
        told.append("".join([*folders, name]))
        folders += [name] if name.endswith("/") else []
    top = ROOT / "meter"
    files = {str(file.relative_to(top)) for file in top.rglob("*.py") if file.name != "__init__.py"}
    there = files | {f"{file.parent.relative_to(top)}/" for file in top.rglob("*/__init__.py")}
    assert {"not in the map": there - set(told), "not there": set(told) - there} == {
        "not in the map": set(),
        "not there": set(),
    }
