"""Logs: named events with keys, no secret in them, and of the libraries only what somebody should know."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from meter import logs
from meter.settings import LogSettings

SECRETS = ["sk_hunter2", 'pa"ss\\word', "hunter2"]

Configure = Callable[..., io.StringIO]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Configures logs into a buffer, and puts everything back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("meter")
    before = (root.handlers[:], root.level, ours.level)

    def into_buffer(**options: Any) -> io.StringIO:
        stream = io.StringIO()
        logs.configure(LogSettings(**options), SECRETS, stream)
        return stream

    yield into_buffer
    structlog.reset_defaults()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_its_keys(configure: Configure) -> None:
    """Name, level, time first; then what was given, numbers as numbers."""
    stream = configure(format="json")
    structlog.get_logger().info("batch.refused", batch_events=3, reason="unauthorized")
    [line] = lines(stream)
    assert list(line)[:3] == ["at", "level", "event"]
    assert (line["event"], line["level"], line["batch_events"]) == ("batch.refused", "info", 3)


def test_away_from_a_terminal_auto_means_json(configure: Configure) -> None:
    """`auto` looks at the stream; a buffer is no terminal."""
    stream = configure(format="auto")
    structlog.get_logger().info("drain.started")
    assert lines(stream)[0]["event"] == "drain.started"


def test_readable_lines_carry_the_same_and_no_colour_into_a_file(configure: Configure) -> None:
    """Who redirects stderr gets text without escape sequences."""
    stream = configure(format="readable")
    structlog.get_logger().warning("billing.paused", reason="unauthorized")
    text = stream.getvalue()
    assert "billing.paused" in text
    assert "reason=unauthorized" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("format_", ["json", "readable"])
@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_reaches_the_log_in_any_shape(configure: Configure, format_: str, secret: str) -> None:
    """In the event, a text, a nested value, bytes, an exception, its traceback, or a library's line."""
    stream = configure(format=format_)
    log = structlog.get_logger()
    log.info(secret, text=f"Bearer {secret}", nested={"list": [secret, (secret,)], secret: 1})
    log.info("more", raw=secret.encode(), error=ValueError(secret))
    try:
        int(secret)  # its message quotes what it was given
    except ValueError:
        log.exception("broke")
    logging.getLogger("httpx").error("header %s", secret)
    text = stream.getvalue()
    assert "***" in text
    assert secret not in text
    assert json.dumps(secret)[1:-1] not in text


def test_an_exception_as_a_value_keeps_its_type(configure: Configure) -> None:
    """Some errors have no text at all; their type still says something."""
    stream = configure(format="json")
    structlog.get_logger().info("flush.failed", error=TimeoutError())
    assert lines(stream)[0]["error"] == "TimeoutError: "


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_least_important_that_is_shown(configure: Configure, level: str, shown: int) -> None:
    """`log.level` counts for our own events."""
    stream = configure(format="json", level=level)
    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert len(lines(stream)) == shown


def test_libraries_are_heard_from_warnings_on(configure: Configure) -> None:
    """httpx tells of every request at info, uvicorn of every access: nobody wants that in a daemon's log."""
    stream = configure(format="json", level="debug")
    logging.getLogger("httpx").info("HTTP Request: POST ...")
    logging.getLogger("uvicorn.access").info("GET /metrics")
    logging.getLogger("uvicorn.error").warning("something odd")
    [line] = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("something odd", "uvicorn.error", "warning")


def test_what_aiokafka_complains_about_while_all_is_well_is_left_out(configure: Configure) -> None:
    """The first join always fails once, while the broker makes its offsets topic."""
    stream = configure(format="json")
    coordinator = logging.getLogger("aiokafka.consumer.group_coordinator")
    coordinator.error("Group Coordinator Request failed: %s", "[Error 15] GroupCoordinatorNotAvailableError")
    coordinator.error("Heartbeat send request failed: %s. Will retry.", "RequestTimedOutError")
    [line] = lines(stream)
    assert line["event"] == "Heartbeat send request failed: RequestTimedOutError. Will retry."
    assert line["level"] == "warning"  # it tries again by itself


def test_a_library_that_repeats_itself_is_heard_once_a_minute() -> None:
    """The same words from the same logger, other arguments or not, pass again after a minute; ours always pass."""
    chatter = logs.LibraryChatter()

    def passes(name: str, template: str, argument: str, at_seconds: float) -> bool:
        record = logging.LogRecord(name, logging.ERROR, __file__, 1, template, (argument,), None)
        record.created = at_seconds
        return bool(chatter.filter(record))

    assert passes("aiokafka", "Unable connect to node with id %s", "1", 1000.0)
    assert not passes("aiokafka", "Unable connect to node with id %s", "2", 1059.0)
    assert passes("aiokafka", "Unable to update metadata from %s", "1", 1059.0)
    assert passes("aiokafka", "Unable connect to node with id %s", "1", 1060.0)
    assert passes("meter", "event %s", "1", 1060.0)
    assert passes("meter", "event %s", "1", 1060.0)


def test_requests_that_aiokafka_forsakes_are_not_told_at_length(configure: Configure) -> None:
    """Nobody waits for them any more; what nobody looked at in our own code is heard."""
    stream = configure(format="json")
    words = "Task exception was never retrieved\nfuture: <Task finished coro=<f() done, defined at PATH:1>>"
    for path in ("/site-packages/aiokafka/consumer/group_coordinator.py", "/meter/worker.py"):
        said = words.replace("PATH", path)  # asyncio puts everything into the words, too
        logging.getLogger("asyncio").error(said)
    [line] = lines(stream)
    assert "/meter/worker.py" in line["event"]


def test_configuring_twice_does_not_double_the_lines(configure: Configure) -> None:
    """The last configuration is the only one."""
    first, second = configure(format="json"), configure(format="json")
    structlog.get_logger().info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1
