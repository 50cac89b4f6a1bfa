"""`meter kafka`, run as a user runs it."""

import asyncio
import re
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meter.cli.kafka import wanted_topic
from meter.errors import UserMistake
from meter.localkafka.ports import HOST, any_free
from meter.localkafka.probe import answers
from tests.brokers import admin_of, create_topic
from tests.commands import METER, environment
from tests.doc_tables import README
from tests.waiting import eventually

StartCommand = Callable[..., Coroutine[None, None, Process]]


@pytest.fixture
async def start() -> AsyncIterator[StartCommand]:
    """Starts `meter kafka` with options; what still runs at the end of the test is killed."""
    async with AsyncExitStack() as started:

        async def command(*options: object) -> Process:
            words = [*METER, "kafka", *map(str, options)]
            process = await asyncio.create_subprocess_exec(*words, env=environment(), stdout=PIPE, stderr=PIPE)
            started.push_async_callback(end, process)
            return process

        yield command


async def end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def welcome(process: Process) -> str:
    """What the command prints once its broker answers."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readuntil(b"stops it.\n"), 90)).decode()


async def outcome(process: Process) -> tuple[int | None, str]:
    """Exit code and what went to standard error."""
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, errors.decode()


def is_folder(path: str) -> bool:
    return Path(path).is_dir()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_order(start: StartCommand, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: exit code 0, the port free, the temporary data deleted."""
    port = any_free()
    process = await start("--port", port)
    data = re.search(r"data: (\S+) \(deleted on exit", await welcome(process))
    assert data is not None
    assert is_folder(data[1])

    process.send_signal(number)

    assert await outcome(process) == (0, "")
    assert not is_folder(data[1])
    assert not answers(HOST, port, 0.2)


@pytest.mark.timeout(240)
async def test_data_is_kept_and_has_one_broker_at_a_time(start: StartCommand, tmp_path: Path) -> None:
    """With --data a second run goes on where the first one was killed; a run beside it is refused."""
    port = any_free()
    first = await start("--port", port, "--data", tmp_path)
    assert f"data: {tmp_path}\n" in await welcome(first)
    await create_topic(f"{HOST}:{port}", "kept", 3)
    code, said = await outcome(await start("--port", any_free(), "--data", tmp_path))
    assert (code, said) == (2, f"meter: another broker uses the data folder {tmp_path}: choose another with --data\n")

    first.kill()
    await eventually(lambda: not answers(HOST, port, 0.2), 60, "the broker has ended with its command")
    await welcome(await start("--port", port, "--data", tmp_path))

    assert "kept" in await topics(f"{HOST}:{port}")


@pytest.mark.timeout(240)
async def test_topics_are_made_unless_they_are_there(start: StartCommand, tmp_path: Path) -> None:
    """The README's own command, then the same with another number: what is there stays as it is, and is told."""
    (options,) = re.findall(r"^\.venv/bin/meter kafka (.+)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    port = any_free()
    first = await start("--port", port, "--data", tmp_path, *options.split(), "--topic", "others:2")
    assert "topic: usage-events, 4 partitions\ntopic: others, 2 partitions\n" in await welcome(first)
    assert {"usage-events", "others"} <= set(await topics(f"{HOST}:{port}"))
    first.send_signal(signal.SIGTERM)
    assert await outcome(first) == (0, "")
    again = await start("--port", port, "--data", tmp_path, "--topic", "others:7")
    assert "topic: others, 2 partitions\n" in await welcome(again)


@pytest.mark.parametrize("wanted", ["a b", "", "..", "a:", "a:0", "a:x", "a:-1"])
def test_what_is_no_topic_is_said(wanted: str) -> None:
    """Before anything is started; a name without a number has four partitions."""
    assert wanted_topic("usage-events") == ("usage-events", 4)
    assert wanted_topic("usage-events:12") == ("usage-events", 12)
    with pytest.raises(UserMistake, match="--topic"):
        wanted_topic(wanted)


async def topics(servers: str) -> list[str]:
    async with admin_of(servers) as admin:
        return list(await admin.list_topics())


async def test_a_port_in_use_is_said_before_anything_else(start: StartCommand) -> None:
    """Exit code 2 and one sentence with the way out."""
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]

        code, said = await outcome(await start("--port", port))

    sentence = f"meter: port {port} is in use on {HOST}: stop what listens there or choose another with --port\n"
    assert (code, said) == (2, sentence)


async def test_a_data_folder_that_is_a_file_is_refused(start: StartCommand, tmp_path: Path) -> None:
    """Exit code 2 and one sentence."""
    (tmp_path / "file").touch()

    code, said = await outcome(await start("--port", any_free(), "--data", tmp_path / "file"))

    assert code == 2
    assert said.startswith(f"meter: cannot use the data folder {tmp_path / 'file'}: ")
