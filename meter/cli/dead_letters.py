"""`meter dead-letters`: what could never be billed, read from its topic; copies of one origin count once."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.letter_filter import CustomerOption, ReasonOption, check_origin, letter_filter
from meter.cli.moments import SinceOption, UntilOption
from meter.cli.park import park
from meter.cli.printable import printable, printable_bytes, printable_page
from meter.cli.redrive import redrive
from meter.errors import CommandFailed

if TYPE_CHECKING:  # aiokafka and rich are loaded when a command runs
    from meter.accounting.letters import Case
    from meter.pipeline.event import Record
    from meter.settings import KafkaSettings

dead_letters = typer.Typer(no_args_is_help=True, help="List, show, redrive or park the events that cannot be billed.")


@dead_letters.command("list")
def list_dead_letters(
    reason: ReasonOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those not redriven yet.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every dead letter once, with its reason, and count them by reason."""
    from meter.accounting.letters import chosen
    from meter.cli.dead_letter_topic import summary, table

    kafka = read_settings(config).kafka
    wanted = letter_filter([], reason, customer, since, until, open_only=open_only)
    cases, warnings = asyncio.run(_every(kafka))
    for warning in warnings:
        typer.echo(f"meter: {warning}", err=True)
    found = chosen(cases or (), wanted)
    if as_json:
        typer.echo(json.dumps([summary(case) for case in found]))
    elif cases is None:
        typer.echo(f"no dead letters: there is no topic {kafka.dead_letter_topic}")
    elif not found:
        typer.echo(f"no dead letters in {kafka.dead_letter_topic}" + (" that match" if cases else ""))
    else:
        for line in table(found):
            typer.echo(line)


@dead_letters.command("show")
def show_dead_letter(
    origin: Annotated[str, typer.Argument(help="topic:partition:offset, as `list` prints it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter in full: headers, key and value."""
    from meter.cli.dead_letter_topic import whole

    check_origin(origin)
    kafka = read_settings(config).kafka
    case, record = asyncio.run(_one(kafka, origin))
    if as_json:
        typer.echo(json.dumps(whole(case, record)))
        return
    for name, value in record.headers:
        typer.echo(f"{printable(name)}: {printable_bytes(value)}")
    typer.echo(f"key: {'(none)' if record.key is None else printable_bytes(record.key)}")
    typer.echo(f"copies: {case.copies}")
    typer.echo(f"state: {'open' if case.is_open else 'redriven'}")
    typer.echo("")
    typer.echo("(no value)" if record.value is None else printable_page(record.value))


dead_letters.command("redrive")(redrive)
dead_letters.command("park")(park)


async def _every(kafka: "KafkaSettings") -> "tuple[list[Case] | None, list[str]]":
    """All cases, None without a topic; and what is wrong with how long they are kept."""
    from meter.accounting.reading import read_cases
    from meter.cli.looking_back import looking_back
    from meter.kafka.topics import dead_letter_warnings

    async with looking_back(kafka) as (archive, progress):
        if not await archive.partitions(kafka.dead_letter_topic):
            return None, []
        cases = await read_cases(archive, kafka.dead_letter_topic, progress)
    return cases, await dead_letter_warnings(kafka)


async def _one(kafka: "KafkaSettings", origin: str) -> "tuple[Case, Record]":
    """The case of this origin and its letter's record. Raises `CommandFailed` when there is none."""
    from meter.accounting.reading import read_cases
    from meter.cli.looking_back import looking_back

    async with looking_back(kafka) as (archive, progress):
        cases = await read_cases(archive, kafka.dead_letter_topic, progress)
        case = next((one for one in cases if one.letter.origin == origin), None)
        record = await archive.record_at(*case.letter.found) if case is not None else None
    if case is None or record is None:
        raise CommandFailed(f"no dead letter with origin {origin} in {kafka.dead_letter_topic}")
    return case, record
