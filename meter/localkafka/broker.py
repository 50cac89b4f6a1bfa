"""One Kafka node as a process of ours: its folder, its start until it answers, its end, and its violent end."""

import base64
import fcntl
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from meter.errors import CommandFailed, UserMistake
from meter.localkafka.jars import cache_folder, class_path, java_program
from meter.localkafka.ports import HOST, any_free, require_free
from meter.localkafka.probe import answers
from meter.localkafka.process import KeptProcess
from meter.localkafka.properties import Login, Ports, server_properties

POLL_SECONDS = 0.05
FORMAT_LIMIT_SECONDS = 60
LOG_TAIL_LINES = 12


class LocalKafka:
    """Apache Kafka on 127.0.0.1, started and stopped by this process and gone when this process is gone.

    `port` None means any free one. `data` None means a temporary folder, deleted by `close`; a folder that was used
    before goes on with its topics. `quick_start` False leaves all of Java's compilers on: slower to start, faster
    after a minute (for a bench). Methods block: call them through `asyncio.to_thread` from a coroutine.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        data: Path | None = None,
        login: Login | None = None,
        memory_mebibytes: int = 512,
        quick_start: bool = True,
    ) -> None:
        self._port = port
        self._login = login
        self._memory_mebibytes = memory_mebibytes
        self._quick_start = quick_start
        self._temporary = data is None
        self._data = data
        self._lock: IO[str] | None = None
        self._ports: Ports | None = None
        self._process: KeptProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of the open listener; known from the first `start` on and the same after a `restart`."""
        return f"{HOST}:{self._known_ports().plain}"

    @property
    def login_bootstrap_servers(self) -> str:
        """`host:port` of the SASL_SSL listener; there must be one."""
        return f"{HOST}:{self._known_ports().login}"

    @property
    def data(self) -> Path:
        """The folder with the records, the settings and the log; known from the first `start` on."""
        if self._data is None:
            raise RuntimeError("the broker has not been started")
        return self._data

    @property
    def log_file(self) -> Path:
        """Where the broker and Java write their warnings and errors."""
        return self.data / "broker.log"

    @property
    def pid(self) -> int:
        """Java's process id (to measure or to suspend it), 0 before the first `start`."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._process is not None and self._process.running

    def start(self, limit_seconds: float = 60) -> None:
        """Start the broker and return once it answers; downloads it first if need be (not part of the limit).

        Raises `UserMistake` when a port or the folder cannot be used, `CommandFailed` when it cannot be downloaded
        or does not come up, then with the end of its log. After an error nothing is held, as after `close`.
        """
        try:
            self._start(limit_seconds)
        except BaseException:
            self.close()
            raise

    def stop(self, limit_seconds: float = 15) -> None:
        """End the broker in order, by force after the limit. Its data stays. Repeating it does nothing."""
        if self._process is not None:
            self._process.stop(limit_seconds)

    def kill(self) -> None:
        """End the broker at once (SIGKILL); returns when the process is gone."""
        if self._process is not None:
            self._process.kill()

    def restart(self, limit_seconds: float = 60) -> None:
        """Start again on the same ports and data, after a `stop` if it still runs; returns once it answers."""
        self.stop()
        self.start(limit_seconds)

    def wait(self) -> None:
        """Return when the broker has ended, for whatever reason."""
        if self._process is not None:
            self._process.wait()

    def close(self) -> None:
        """`stop`, give the folder free, and delete it if it was a temporary one. Repeating it does nothing."""
        self.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._temporary and self._data is not None:
            shutil.rmtree(self._data, ignore_errors=True)
            self._data = None

    def log_tail(self) -> str:
        """The last lines of the broker's log."""
        return _last_lines(self.log_file.read_text(errors="replace"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, limit_seconds: float) -> None:
        self._ports = self._ports or self._choose_ports()
        classes = class_path(cache_folder())
        self._prepare_data()
        java = [java_program(), *self._java_options(classes)]
        properties = self.data / "server.properties"
        properties.touch(mode=0o600)  # holds the passwords of the SASL listener
        properties.write_text(server_properties(self._records, self._ports, self._login))
        if not (self._records / "meta.properties").exists():
            self._format(java, properties)
        self._process = KeptProcess([*java, "kafka.Kafka", str(properties)], self.log_file)
        self._wait_until_it_answers(limit_seconds)

    @property
    def _records(self) -> Path:
        return self.data / "records"

    def _known_ports(self) -> Ports:
        if self._ports is None:
            raise RuntimeError("the broker has not been started")
        return self._ports

    def _choose_ports(self) -> Ports:
        if self._port is not None:
            require_free(self._port, "--port")
        plain = self._port or any_free()
        controller = any_free(frozenset({plain}))
        login = any_free(frozenset({plain, controller})) if self._login else None
        return Ports(plain, controller, login)

    def _prepare_data(self) -> None:
        """Make the folder, and hold it: two brokers in one folder would destroy it."""
        if self._data is None:
            self._data = Path(tempfile.mkdtemp(prefix="meter-kafka-"))
        if self._lock is not None:
            return
        try:
            (self._data / "scratch").mkdir(parents=True, exist_ok=True)
            self._lock = (self._data / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserMistake(f"another broker uses the data folder {self._data}: choose another with --data") from None
        except OSError as fault:
            raise UserMistake(f"cannot use the data folder {self._data}: {fault.strerror}") from fault

    def _java_options(self, classes: str) -> list[str]:
        return [
            f"-Xmx{self._memory_mebibytes}m",
            "-XX:+UseSerialGC",
            *(["-XX:TieredStopAtLevel=1"] if self._quick_start else []),
            f"-Djava.io.tmpdir={self.data / 'scratch'}",  # native libraries unpacked by a killed broker go with it
            "--enable-native-access=ALL-UNNAMED",  # these two keep Java's own warnings out of the log
            "--sun-misc-unsafe-memory-access=allow",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "-cp",
            classes,
        ]

    def _format(self, java: list[str], properties: Path) -> None:
        arguments = ["format", "--ignore-formatted", "-t", _random_cluster_id(), "-c", str(properties)]
        for name, password in (self._login.scram_users if self._login else {}).items():
            arguments += ["--add-scram", f"SCRAM-SHA-256=[name={name},password={password}]"]
        done = subprocess.run(  # noqa: S603  # Java of a package, arguments of ours
            [*java, "kafka.tools.StorageTool", *arguments],
            capture_output=True,
            check=False,
            text=True,
            timeout=FORMAT_LIMIT_SECONDS,
        )
        if done.returncode != 0:
            raise CommandFailed(f"Kafka cannot prepare {self.data}:\n{_last_lines(done.stdout + done.stderr)}")

    def _wait_until_it_answers(self, limit_seconds: float) -> None:
        deadline = time.monotonic() + limit_seconds
        port = self._known_ports().plain
        while not answers(HOST, port):
            late = time.monotonic() > deadline
            if late or not self.running:
                self.kill()
                what = f"did not answer within {limit_seconds:g} s" if late else "exited during start-up"
                raise CommandFailed(f"Kafka {what}; the end of its log:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)


def _random_cluster_id() -> str:
    """22 characters, as Kafka wants them; the first one never a dash, which would read as an option."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:]) or "(empty)"
