"""Fetches a Java program with all that it needs from the public Maven repository, and shows how far it is.

The only module that imports jgo, which comes with the `kafka` extra; import it lazily.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

from jgo.maven import Artifact, MavenContext, PythonResolver
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from meter.errors import CommandFailed

PARALLEL_DOWNLOADS = 4
RETRY_PAUSES_SECONDS = (0.2, 1.0)
CONNECT_TIMEOUT_SECONDS = 10

# What jgo lets out when a file cannot be had: requests' errors are OSErrors, the rest is its own RuntimeError.
Unreachable = (OSError, RuntimeError)


class PatientResolver(PythonResolver):
    """Tries a file again when the network hiccups, and never leaves half a file that would look like a whole one."""

    def download(self, artifact: Artifact) -> Path | None:
        """The path of the downloaded file; raises what the last try raised."""
        for pause_seconds in RETRY_PAUSES_SECONDS:
            try:
                return self._download_whole(artifact)
            except Unreachable:
                time.sleep(pause_seconds)
        return self._download_whole(artifact)

    def _download_whole(self, artifact: Artifact) -> Path | None:
        try:
            return super().download(artifact)
        except BaseException:
            if artifact.cached_path is not None:
                artifact.cached_path.unlink(missing_ok=True)
            raise


def fetch(coordinates: tuple[str, ...], folder: Path, repositories: dict[str, str] | None = None) -> None:
    """Put the jars of `coordinates`, and of all that they depend on, into `folder`.

    `repositories` (name -> address) stands in for jgo's default, the public one. Raises `CommandFailed` with one
    sentence when something cannot be had.
    """
    console = Console(stderr=True)
    with TemporaryDirectory(dir=folder, prefix="repository-") as repository:  # beside the jars: moving is renaming
        context = MavenContext(
            resolver=PatientResolver(),
            repo_cache=Path(repository),
            remote_repos=repositories,
            timeout=CONNECT_TIMEOUT_SECONDS,
        )
        try:
            _fetch(context, coordinates, folder, console)
        except Unreachable as fault:
            raise CommandFailed(_sentence(coordinates, fault)) from fault


def _fetch(context: MavenContext, coordinates: tuple[str, ...], folder: Path, console: Console) -> None:
    if not console.is_terminal:
        console.print("downloading Apache Kafka, 44 MB, once ...", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("downloading Apache Kafka (44 MB, once): asking what it needs", total=None)
        inputs, transitive = context.resolver.resolve([context.create_dependency(name) for name in coordinates])
        artifacts = [dependency.artifact for dependency in (*inputs, *transitive)]
        progress.update(task, description="downloading Apache Kafka (44 MB, once): jars", total=len(artifacts))
        for jar in _resolved(artifacts):
            shutil.move(jar, folder)
            progress.advance(task)


def _resolved(artifacts: Sequence[Artifact]) -> Iterator[Path]:
    """The files as they arrive; after a failure, or Ctrl-C, nothing more is begun."""
    pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
    try:
        for jar in as_completed([pool.submit(artifact.resolve) for artifact in artifacts]):
            yield jar.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _sentence(coordinates: tuple[str, ...], fault: BaseException) -> str:
    reason = " ".join(str(fault).split())
    return (
        f"cannot download {coordinates[0]}, which is needed once: the repository of Java packages does not answer"
        f" or does not have it; is this machine offline? ({type(fault).__name__}: {reason[:300]})"
    )
