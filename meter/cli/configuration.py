"""Which configuration a command works with: `--config FILE`, else `meter.toml` here, else the defaults."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # pydantic takes a quarter of a second that `meter --help` need not pay
    from meter.settings import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file; by default meter.toml in the current folder, if there is one.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def config_file(given: Path | None) -> Path | None:
    """The file that is read, or None for defaults and environment alone."""
    if given is not None:
        return given
    here = Path("meter.toml")
    return here if here.is_file() else None


def read_settings(given: Path | None, *, needs_secret_key: bool = False) -> "Settings":
    """The settings, or `BadConfiguration` with every fault."""
    from meter.settings import load

    return load(config_file(given), os.environ, needs_secret_key=needs_secret_key)
