"""What surrounds the code: make, CI, pins, the container and its manifests. Nothing here needs Docker."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # the package ships no types

from meter.settings import Settings, load
from tests.doc_tables import ROOT, command_words

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PINS = [ROOT / "requirements" / name for name in ("runtime.txt", "dev.txt")]
NOT_OURS = {".git", ".venv", "build", "dist", "__pycache__"}
CACHES = {".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


def documents(manifest: str) -> list[dict[str, Any]]:
    """The YAML documents of a file in deploy/."""
    return list(yaml.safe_load_all((ROOT / "deploy" / manifest).read_text(encoding="utf-8")))


def of_kind(kind: str) -> dict[str, Any]:
    """The one Kubernetes object of that kind."""
    (found,) = [one for one in documents("kubernetes.yaml") if one["kind"] == kind]
    return found


def container() -> dict[str, Any]:
    """meter's container in the Deployment."""
    (found,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def deployed(tmp_path: Path) -> Settings:
    """The settings that the manifest's container would have."""
    file, secret = tmp_path / "meter.toml", tmp_path / "secret"
    file.write_text(of_kind("ConfigMap")["data"]["meter.toml"], encoding="utf-8")
    secret.write_text("secret", encoding="utf-8")
    return load(file, {one["name"]: str(secret) for one in container()["env"]}, needs_secret_key=True)


def test_make_alone_lists_every_target() -> None:
    """Whoever types `make` sees what there is; nothing is hidden and nothing is made up."""
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607  # as typed
    phony = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
    assert set(re.findall(r"^  make ([a-z-]+)", shown, re.MULTILINE)) == phony
    assert {"help", "install", "demo", "demo-keep", "test", "lint", "bench", "lock", "clean"} <= phony


def test_ci_runs_what_developers_run() -> None:
    """No command of its own: what is red there is red here."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.findall(r"^make ([a-z]+)", script.read_text(encoding="utf-8"), re.MULTILINE) == ["lint", "test"]


@pytest.mark.parametrize("pins", PINS, ids=lambda pins: pins.name)
def test_every_dependency_is_pinned_with_hashes_and_nothing_else(pins: Path) -> None:
    """One version and its hashes each; no option, and so no address."""
    logical = pins.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in logical.splitlines() if line.strip() and not line.strip().startswith("#")]
    wrong = [line for line in lines if not re.fullmatch(r"[\w.\[\],-]+==\S+( +--hash=sha256:[0-9a-f]{64})+", line)]
    assert wrong == []


def test_what_the_project_asks_for_is_pinned() -> None:
    """A dependency that was added without `make lock` would not be there on another machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for pins, wanted in zip(PINS, (project["dependencies"], extras["kafka"] + extras["dev"]), strict=True):
        pinned = set(re.findall(r"^([\w.-]+)==", pins.read_text(encoding="utf-8"), re.MULTILINE))
        assert {re.split(r"[\[<>=]", name)[0] for name in wanted} - pinned == set()


def test_no_file_names_a_package_index() -> None:
    """Which one is used is decided where it is installed."""
    hosts = [
        ".".join(words) for words in (("pypi", "org"), ("pythonhosted", "org"), ("maven", "org"), ("npmjs", "com"))
    ]
    options = ["".join(words) for words in (("--index", "-url"), ("--extra-index", "-url"), ("--trusted", "-host"))]
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in our_files()
        for word in (*hosts, *options)
        if word.encode() in file.read_bytes()
    ]
    assert found == []


def our_files() -> Iterator[Path]:
    """Everything that belongs to the repository."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS | CACHES]
        yield from (Path(folder) / name for name in files)


def test_signals_reach_the_process_in_the_container() -> None:
    """A shell in between would swallow SIGTERM, and with it the drain."""
    instructions = dict(re.findall(r"^(ENTRYPOINT|CMD|USER) (.*)$", DOCKERFILE, re.MULTILINE))
    assert json.loads(instructions["ENTRYPOINT"]) == ["python", "-m", "meter"]
    assert "meter " + " ".join(json.loads(instructions["CMD"])) in command_words()
    assert not instructions["USER"].startswith(("0", "root"))


def test_the_image_is_made_of_what_is_there() -> None:
    """Copied paths exist; only the pinned runtime is installed; the health check asks where the daemon listens."""
    copied = re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE)
    assert copied == ["requirements/runtime.txt", "meter"]
    assert all((ROOT / path).exists() for path in copied)
    assert "--require-hashes" in DOCKERFILE
    (asked,) = (httpx.URL(url) for url in re.findall(r"'(http://[^']+)'", DOCKERFILE))
    assert (asked.port, asked.path) == (Settings().http.port, "/healthz")


def test_the_composed_services_start_with_what_exists() -> None:
    """Every command, option and variable of the compose file is known, and the configuration is accepted."""
    (composed,) = documents("compose.yaml")
    known = command_words()
    for service in ("sandbox", "meter"):
        command, *rest = composed["services"][service]["command"]
        assert {word for word in rest if word.startswith("--")} <= known[f"meter {command}"]
    settings = load(None, composed["services"]["meter"]["environment"], needs_secret_key=True)
    assert (
        settings.kafka.bootstrap_servers in composed["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    )
    assert settings.kafka.topic in composed["services"]["topic"]["command"]
    assert int(composed["services"]["meter"]["stop_grace_period"].removesuffix("s")) > ending_seconds(settings)


def ending_seconds(settings: Settings) -> float:
    """How long a process may take from SIGTERM to its end: drain, and hand the partitions over."""
    return settings.run.drain_timeout_seconds + settings.revocation_deadline_seconds


def test_the_manifest_gives_a_process_time_to_end(tmp_path: Path) -> None:
    """Its configuration is accepted, its command exists, and SIGKILL comes after drain and hand-over."""
    settings = deployed(tmp_path)
    command, *rest = container()["args"]
    assert {word for word in rest if word.startswith("--")} <= command_words()[f"meter {command}"]
    assert of_kind("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > ending_seconds(settings)


def test_the_manifest_probes_where_the_daemon_answers(tmp_path: Path) -> None:
    """Alive and ready are two questions, both open, on the port that is configured."""
    (port,) = container()["ports"]
    assert port["containerPort"] == deployed(tmp_path).http.port
    probes = {name: container()[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_every_secret_that_is_mounted_is_there() -> None:
    """Each file that a variable names is a key of the Secret."""
    folder = next(one["mountPath"] for one in container()["volumeMounts"] if one["name"] == "secrets")
    named = {one["value"].removeprefix(f"{folder}/") for one in container()["env"]}
    assert named == set(of_kind("Secret")["stringData"])
