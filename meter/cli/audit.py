"""`meter audit`: has every record exactly one end, and does the provider agree?"""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.moments import SinceOption, UntilOption, span_of
from meter.cli.output import show

if TYPE_CHECKING:  # aiokafka and numpy are loaded when the command runs
    from meter.accounting.audit import Question
    from meter.accounting.report import Findings
    from meter.settings import Settings

_SHOWN: Final = {"ok": ("OK", "green"), "not_verifiable": ("NOT VERIFIABLE", "yellow"), "failed": ("FAILED", "red")}


def audit(
    since: SinceOption = None,
    until: UntilOption = None,
    kafka_only: Annotated[
        bool, typer.Option("--kafka-only", help="Do not ask the provider: only that every offset has one end.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show from Kafka alone that every offset has exactly one end, and compare with the provider.

    Every record below the committed offset must be in a receipt (accepted or duplicate) or in a dead letter. Exits
    with 0 only if that holds and the provider agrees. A provider that cannot be asked is not verifiable, which is
    exit code 1; use --kafka-only to leave it out.
    """
    from meter.accounting.audit import Question
    from meter.accounting.trail import trail_of

    settings = read_settings(config)
    findings = asyncio.run(_run(settings, Question(trail_of(settings), *span_of(since, until)), kafka_only=kafka_only))
    show(findings.as_json(), findings.lines(), as_json=as_json)
    if not as_json:
        word, colour = _SHOWN[findings.verdict]
        typer.echo(f"{typer.style(word, fg=colour)}  {findings.summary()}")
    if findings.verdict != "ok":
        raise typer.Exit(1)


async def _run(settings: "Settings", question: "Question", *, kafka_only: bool) -> "Findings":
    from meter.accounting.audit import audit as run
    from meter.accounting.provider import SandboxRows
    from meter.cli.looking_back import looking_back

    provider = None if kafka_only else SandboxRows(settings.billing.base_url)
    async with looking_back(settings.kafka) as (archive, progress):
        return await run(archive, question, provider, progress)
