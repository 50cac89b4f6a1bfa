"""How records are sent: options that every command shares that sends some."""

from typing import Annotated

import typer

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")]
PerSecondOption = Annotated[
    float | None, typer.Option("--per-second", min=0.01, help="Send no more than so many events a second.")
]
