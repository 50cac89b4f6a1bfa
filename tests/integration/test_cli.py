"""The command line in processes of its own: exit codes, one sentence for each mistake, what goes to which stream."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.commands import METER, environment, meter

BAD_CONFIGS = Path(__file__).parent.parent / "unit" / "bad_configs"
NOBODY = "127.0.0.1:9"  # the discard port: nothing listens there
GOOD = json.dumps({"customerRef": "cus_1", "productRef": "prd_1", "units": 1, "idempotencyKey": "k1"})

STATUS: dict[str, Any] = {
    "events": {"consumed": 1100, "accepted": 1000, "duplicate": 50, "dead_lettered": 20, "released": 0, "held": 30},
    "partitions": [{"partition": 0, "position": 1100, "committed": 1070, "end": 1200, "lag": 130}],
    "billing": {"state": "paused", "reason": "unauthorized"},
}
LIMITS = {
    "withinLimits": True,
    "remaining": 7,
    "meter": {"pendingUnits": 3, "providerRemaining": 10, "asOf": "2026-11-23T20:00:00Z", "source": "cached"},
}


class _Answers(BaseHTTPRequestHandler):
    """The daemon's routes with fixed answers; the token is `right`."""

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self._answer(503, {"reasons": ["billing is paused: unauthorized"]})
        elif self.headers["Authorization"] != "Bearer right":
            self._answer(401, {"error": "token"})
        elif self.path == "/status":
            self._answer(200, STATUS)
        elif self.path == "/v1/limits/cus%2F1/prd_1":
            self._answer(200, LIMITS)
        else:
            self._answer(404, {"error": "no such route"})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """Quiet."""


@contextmanager
def running_daemon() -> Iterator[dict[str, str]]:
    """Settings that lead to a daemon that answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield {"METER_HTTP__PORT": str(server.server_port), "METER_HTTP__TOKEN": "right"}
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def daemon() -> Iterator[dict[str, str]]:
    with running_daemon() as environ:
        yield environ


def test_the_help_loads_nothing_heavy() -> None:
    """`meter --help` answers at once: what a command needs is imported by the command."""
    program = "import meter.cli, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert loaded.isdisjoint({"aiokafka", "httpx", "pydantic", "numpy", "msgspec", "structlog", "starlette", "uvicorn"})


def test_the_version_is_printed(tmp_path: Path) -> None:
    """`meter --version` and `python -m meter --version` are the same program."""
    assert meter("--version", folder=tmp_path).stdout.startswith("meter 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'. (try: meter --help)"),
        (["run", "--confg", "x"], "--config"),
        (["send"], "Missing argument 'FILE|-'. (try: meter send --help)"),
        (["run", "--config", "nowhere.toml"], "nowhere.toml cannot be read: no such file or directory"),
        (["send", "nowhere.jsonl"], "nowhere.jsonl cannot be read: no such file or directory"),
        (["status", "--json", "--watch"], "--json answers once: leave out --watch, or --json"),
        (["send", "-", "--name", ""], "--name is empty"),
        (["dead-letters", "show", "99"], "'99' is not a valid ORIGIN: use topic:partition:offset"),
        (["send", "-", "--topic", "a b"], "--topic 'a b' is not a topic name"),
        (["replay", "--from", "2026-01-01"], "Missing option '--to'. (try: meter replay --help)"),
        (["replay", "--from", "yesterday", "--to", "2026-01-01"], "--from 'yesterday' is not a valid time: ISO 8601"),
        (["replay", "--from", "2026-01-02", "--to", "2026-01-01"], "--from 2026-01-02 is not before --to 2026-01-01"),
        (["replay", "--from", "0001-01-01T00:00:00+14:00", "--to", "2026-01-01"], "--beyond-provider-memory"),
        (["replay", "--from", "2026-01-01", "--to", "2026-01-02", "--per-second", "0"], "--per-second"),
    ],
)
def test_a_mistake_of_the_user_is_one_sentence_and_exit_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    """On stderr, with our name in front, and never a traceback."""
    done = meter(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.startswith("meter: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["limits", "c", "p"], "no meter is running at http://127.0.0.1:9"),
        (["status"], "no meter is running at http://127.0.0.1:9"),
        (["send", "events.jsonl"], f"Kafka at {NOBODY} is not reachable"),
        (["dead-letters", "list"], f"Kafka at {NOBODY} is not reachable"),
        (["replay", "--from", "2026-01-01", "--to", "2026-01-02", "--unbilled"], f"Kafka at {NOBODY} is not reachable"),
    ],
)
def test_what_is_not_there_is_one_sentence_and_exit_1(tmp_path: Path, arguments: list[str], words: str) -> None:
    """A command that could not do its work says what is away."""
    (tmp_path / "events.jsonl").write_text(GOOD, encoding="utf-8")
    environ = {"METER_HTTP__PORT": "9", "METER_KAFKA__BOOTSTRAP_SERVERS": NOBODY}
    done = meter(*arguments, folder=tmp_path, environ=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_run_names_every_fault_at_once_with_the_missing_key(tmp_path: Path) -> None:
    """Three mistakes in meter.toml and no secret key: four sentences, exit 2, nothing started."""
    path = BAD_CONFIGS / "three_mistakes.toml"
    (tmp_path / "meter.toml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    done = meter("run", folder=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 4
    assert "SOLVAPAY_SECRET_KEY" in done.stderr


def test_check_config_reports_all_mistakes(tmp_path: Path) -> None:
    """A file with three mistakes gets three sentences, and exit 2."""
    path = BAD_CONFIGS / "three_mistakes.toml"
    done = meter("check-config", "--config", str(path), folder=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 3


def test_check_config_shows_what_differs_and_no_secret(tmp_path: Path) -> None:
    """Options that differ from their defaults, with both values; secrets masked."""
    (tmp_path / "meter.toml").write_text("[batch]\nmax_events = 500\n", encoding="utf-8")
    done = meter("check-config", folder=tmp_path, environ={"SOLVAPAY_SECRET_KEY": "sk_hunter2"})
    assert done.returncode == 0
    assert done.stdout.startswith("ok: meter.toml\n")
    assert "batch.max_events" in done.stdout
    assert "500  (default: 1000)" in done.stdout
    assert "kafka" not in done.stdout
    assert "hunter2" not in done.stdout


def test_check_config_says_what_run_needs_besides(tmp_path: Path) -> None:
    """A file without the secret is fine in itself; `meter run` will want the key."""
    done = meter("check-config", folder=tmp_path)
    assert done.returncode == 0
    assert "note: `meter run` needs one more thing: billing.secret_key" in done.stdout


@pytest.mark.parametrize("from_stdin", [True, False])
def test_send_lists_broken_lines_and_sends_nothing(tmp_path: Path, from_stdin: bool) -> None:
    """Numbers and reasons of the first 20, the count of the rest, before Kafka is even asked; exit 2."""
    text = "\n".join([GOOD, "not json", "", *["{}"] * 25, GOOD])
    (tmp_path / "events.jsonl").write_text(text, encoding="utf-8")
    file = "-" if from_stdin else "events.jsonl"
    done = meter("send", file, folder=tmp_path, stdin=text, environ={"METER_KAFKA__BOOTSTRAP_SERVERS": NOBODY})
    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(said)) == (2, "", 22)
    assert said[0].startswith(f"{'stdin' if from_stdin else 'events.jsonl'}:2: invalid:")
    assert said[20] == "... and 6 more broken lines"
    assert said[21] == "meter: nothing was sent: fix the lines, or send the other 2 with --skip-broken"


def test_send_from_a_line_that_there_is_not_sends_nothing_and_says_so(tmp_path: Path) -> None:
    """A slip of the finger must not look like a file that was sent."""
    done = meter("send", "-", "--from-line", "30", folder=tmp_path, stdin=f"{GOOD}\n\n{GOOD}\n")
    assert (done.returncode, done.stderr) == (2, "meter: --from-line 30: stdin ends with line 3\n")


def test_limits_prints_the_verdict_its_parts_and_its_age(tmp_path: Path, daemon: dict[str, str]) -> None:
    """Readable without colour; references are quoted on the way."""
    done = meter("limits", "cus/1", "prd_1", folder=tmp_path, environ=daemon)
    assert done.returncode == 0
    assert "cus/1 may go on with prd_1: 7 left" in done.stdout
    assert "provider says 10, minus 3" in done.stdout
    assert "cached: from the cache" in done.stdout


def test_limits_as_json_is_the_daemons_own_answer(tmp_path: Path, daemon: dict[str, str]) -> None:
    """For scripts, nothing is added and nothing left out."""
    done = meter("limits", "cus/1", "prd_1", "--json", folder=tmp_path, environ=daemon)
    assert json.loads(done.stdout) == LIMITS


def test_a_wrong_token_is_said_without_showing_it(tmp_path: Path, daemon: dict[str, str]) -> None:
    """Exit 1 and the option to look at."""
    done = meter("status", folder=tmp_path, environ={**daemon, "METER_HTTP__TOKEN": "hunter2"})
    assert done.returncode == 1
    assert "http.token" in done.stderr
    assert "hunter2" not in done.stderr


def test_status_piped_is_printed_once(tmp_path: Path, daemon: dict[str, str]) -> None:
    """Ready or why not, billing, the invariant's numbers and the partitions; no escape sequences."""
    done = meter("status", folder=tmp_path, environ=daemon)
    assert done.returncode == 0
    assert "not ready" in done.stdout
    assert "because billing is paused: unauthorized" in done.stdout
    assert "billing  paused (unauthorized)" in done.stdout
    assert "1,100 consumed = 1,000 accepted + 50 duplicate + 20 dead-lettered + 0 released + 30 held" in done.stdout
    assert ["0", "1100", "1070", "1200", "130"] in [line.split() for line in done.stdout.splitlines()]
    assert "\x1b" not in done.stdout


def test_status_on_a_terminal_goes_on_until_ctrl_c(tmp_path: Path, daemon: dict[str, str]) -> None:
    """It is drawn again with the rate; Ctrl-C is how one leaves, so it is no failure."""
    ours, theirs = os.openpty()
    command = [*METER, "status"]
    environ = environment({**daemon, "TERM": "xterm", "COLUMNS": "160"})
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while b"a second)" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            _drain(ours)
        assert process.returncode == 0
    os.close(ours)
    assert b"not ready" in seen


def _drain(terminal: int) -> None:
    """What a terminal does: read, until the program has closed its side."""
    with suppress(OSError):
        os.read(terminal, 4096)


def test_status_as_json_is_status_and_readiness(tmp_path: Path, daemon: dict[str, str]) -> None:
    """The body of /status with `ready` and `reasons` beside it."""
    answer = json.loads(meter("status", "--json", folder=tmp_path, environ=daemon).stdout)
    assert answer == {**STATUS, "ready": False, "reasons": ["billing is paused: unauthorized"]}


def test_a_reader_that_went_away_is_no_traceback(tmp_path: Path) -> None:
    """`meter check-config | head -0` ends without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*METER, "check-config"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


CRASHING = """
import sys
from meter import logs
from meter.cli.run import run_to_the_end
from meter.settings import LogSettings

async def body():
    raise RuntimeError("hunter2 is in here")

logs.configure(LogSettings(), ["hunter2"])
sys.exit(run_to_the_end(body))
"""


def test_what_nobody_planned_for_ends_the_process_with_its_reason_in_the_log() -> None:
    """Exit 1 and one log line with the traceback; secrets are masked there as everywhere."""
    done = subprocess.run([sys.executable, "-c", CRASHING], capture_output=True, text=True, check=False)
    line = json.loads(done.stderr)
    assert (done.returncode, line["event"], line["level"]) == (1, "crashed", "error")
    assert "RuntimeError: *** is in here" in line["exception"]


STOPPABLE = """
import asyncio, os, sys
from meter.cli.run import stopped_by_signals, _loop_factory

async def main():
    stop = asyncio.Event()
    with stopped_by_signals(stop):
        print("ready", flush=True)
        await stop.wait()
        print("stopping", flush=True)
        if sys.argv[1] == "clean":
            return 0
        await asyncio.Event().wait()  # a drain that takes for ever

with asyncio.Runner(loop_factory=_loop_factory()) as runner:
    sys.exit(runner.run(main()))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("how", ["clean", "stuck"])
def test_the_first_signal_asks_and_the_second_ends_at_once(number: signal.Signals, how: str) -> None:
    """The first lets the process end by itself with 0; a second one ends a drain that hangs with 128 + number."""
    with subprocess.Popen([sys.executable, "-c", STOPPABLE, how], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stopping\n"
        if how == "stuck":
            process.send_signal(number)
        assert process.wait(timeout=60) == (0 if how == "clean" else 128 + number)
