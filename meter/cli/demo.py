"""`meter demo`: everything on this machine, killed halfway, and the books checked."""

import secrets
from typing import Annotated, Literal

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
    events: Annotated[int, typer.Option(min=2_000, max=2_000_000, help="How many records to produce.")] = 100_000,
    seed: Annotated[int | None, typer.Option(help="Seed of an earlier run, to repeat its stream.")] = None,
    transport: Annotated[Literal["rest", "mcp"], typer.Option(help="How meter talks to the provider.")] = "rest",
) -> None:
    """Show all of meter at work: real Kafka, a provider sandbox, a kill -9 halfway, and the books checked at the end.

    Downloads Apache Kafka once (44 MB). Exits with 0 if every event was billed exactly once.
    """
    from meter.demo.demo import Options, run

    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    raise typer.Exit(run(Options(events_total=events, seed=chosen, keep=keep, transport=transport)))
