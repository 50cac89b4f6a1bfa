"""What every test may use: the cluster of the run, topics on it; and the summary of a run by kinds of tests."""

import os
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from meter.errors import CommandFailed
from meter.localkafka import LocalKafka, Login
from meter.localkafka.jars import cache_folder, class_path
from tests.brokers import (
    EXISTING_CLUSTER,
    PLAIN_USER,
    SCRAM_USER,
    Broker,
    MakeBroker,
    MakeTopic,
    SecuredBroker,
    create_topic,
    login_with_certificates,
)

KINDS = ("unit", "property", "simulation", "contract", "integration", "chaos")
REPOSITORY = "repository"
"""The tests beside the folders: layers, documents."""

ROOT = Path(__file__).parent
LAST_LINES_SHOWN = 30

# A noisy machine is no finding: neither one slow example nor slow making of examples. A failure prints what repeats it.
settings.register_profile("ci", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")


def kind(path: Path) -> str:
    """Which kind of test the file holds: the folder right below tests/."""
    first = path.relative_to(ROOT).parts[0]
    return first if first in KINDS else REPOSITORY


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of what a failed test logged only the end is shown: a Kafka client without its broker logs 90 lines a second."""
    report = yield
    report.sections = [(name, end_of(text)) for name, text in report.sections]
    return report


def end_of(text: str) -> str:
    """The last lines, and how many there were before them."""
    lines = text.splitlines()
    left_out = len(lines) - LAST_LINES_SHOWN
    return text if left_out <= 0 else "\n".join([f"({left_out} lines before)", *lines[left_out:]])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line per kind, before pytest's own last line, and what tests wanted said (`record_property("said", ...)`)."""
    counts: Counter[str] = Counter()
    said: list[str] = []
    seconds: defaultdict[str, float] = defaultdict(float)
    for outcome in ("", "passed", "failed", "error", "skipped", "xfailed"):  # "" has what went well around the tests
        for report in terminalreporter.getreports(outcome):
            folder = kind(ROOT.parent / report.nodeid.partition("::")[0])
            counts[folder] += outcome != "" and report.when != "teardown"  # the error of a test that is counted already
            seconds[folder] += getattr(report, "duration", 0.0)  # a file that cannot be collected has none
            if report.when == "call":
                said += [text for name, text in report.user_properties if name == "said"]
    if not counts:
        return
    terminalreporter.section("tests by kind")
    for name in (*KINDS, REPOSITORY):
        if counts[name]:
            terminalreporter.write_line(f"{name:<12}{counts[name]:>6} tests{seconds[name]:>9.1f} s")
    for line in said:
        terminalreporter.write_line(line)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download Kafka before the first test: its time limit is for the test, not for the network."""
    wanted = {"broker", "own_broker", "secured_broker", "topic"}
    if session.config.option.collectonly or not any(wanted & set(_fixtures(item)) for item in session.items):
        return
    with suppress(CommandFailed):  # said by the fixture, at the tests that need it
        class_path(cache_folder())


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture
async def at_the_end() -> AsyncIterator[AsyncExitStack]:
    """What a test opens it has closed here: left open by a test that fails, it would fail a later one as well."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def login_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Login:
    """Who may log in to the run's own broker."""
    return login_with_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def kafka_of_the_run(login_of_the_run: Login) -> Iterator[LocalKafka]:
    """One process for the whole run, with both listeners; a test asks for `broker` or `secured_broker` instead."""
    with LocalKafka(login=login_of_the_run) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    """The run's broker; tests share it and keep apart by topics and groups of their own. Never kill it."""
    existing = os.environ.get(EXISTING_CLUSTER)
    if existing:
        return Broker(existing, None)
    kafka: LocalKafka = request.getfixturevalue("kafka_of_the_run")
    return Broker(kafka.bootstrap_servers, kafka)


@pytest.fixture(scope="session")
def secured_broker(kafka_of_the_run: LocalKafka, login_of_the_run: Login) -> SecuredBroker:
    """The listener of the run's own broker for TLS with a login, one user for PLAIN and one for SCRAM-SHA-256."""
    servers, authority = kafka_of_the_run.login_bootstrap_servers, login_of_the_run.authority
    return SecuredBroker(servers, kafka_of_the_run.bootstrap_servers, authority, PLAIN_USER, SCRAM_USER)


@pytest.fixture
def own_broker() -> Iterator[MakeBroker]:
    """A factory of brokers that belong to the test alone, for tests that kill or restart them.

    New ones: a killed broker looks through all that it has before it comes back, so it should not have much.
    """
    with ExitStack() as mine:

        def give() -> Broker:
            kafka = mine.enter_context(LocalKafka())
            return Broker(kafka.bootstrap_servers, kafka)

        yield give


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> MakeTopic:
    """A factory of topics with names that nobody else has.

    `await topic(partitions=4, name="usage", servers=..., config={...})` gives the topic's name. Without `servers` it
    is made on the run's broker.
    """

    async def create(
        partitions: int = 4,
        name: str = "test",
        servers: str | None = None,
        config: Mapping[str, str] | None = None,
    ) -> str:
        unique = f"{name}-{uuid.uuid4().hex[:12]}"
        address = servers or request.getfixturevalue("broker").bootstrap_servers
        await create_topic(address, unique, partitions, config)
        return unique

    return create
