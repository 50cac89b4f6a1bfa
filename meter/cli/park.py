"""`meter dead-letters park`: events that are held without an end leave, because an operator says so."""

import json
from typing import Annotated

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.letter_filter import CustomerOption
from meter.errors import CommandFailed, UserMistake

REFUSALS = ("rejected", "too_large", "unknown_customer")


def park(
    origins: Annotated[
        list[str] | None, typer.Argument(metavar="ORIGIN", help="topic:partition:offset of held events.")
    ] = None,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help=f"Held events refused as one of: {', '.join(REFUSALS)}.")
    ] = None,
    customer: CustomerOption = None,
    all_refused: Annotated[bool, typer.Option("--all-refused", help="Every held event that was refused.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the running daemon put events that it holds without an end into the dead letters.

    Never while a request with the event is under way, nor within two seconds of one whose outcome nobody knows: such
    events leave afterwards, unless they were accepted. Each replica parks what it holds itself: ask the one that does.
    """
    from meter.cli.running import Daemon

    if not (origins or reason or customer or all_refused):
        raise UserMistake("say what to park: an ORIGIN, --reason, --customer or --all-refused")
    if origins and (reason or customer or all_refused):
        raise UserMistake("either ORIGINs or filters, not both")
    unknown = sorted(set(reason or ()) - set(REFUSALS))
    if unknown:
        raise UserMistake(f"--reason {unknown[0]!r} is not one of {', '.join(REFUSALS)}")
    wanted = {
        "origins": origins or [],
        "reasons": reason or [],
        "customers": customer or [],
        "allRefused": all_refused,
    }
    with Daemon(read_settings(config).http) as daemon:
        answer = daemon.post("/v1/dead-letters/park", wanted)
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"parked: {answer['parked']:,}; leaving as soon as their requests are over: {answer['waiting']:,}")
    if origins and not answer["parked"] + answer["waiting"]:
        raise CommandFailed(
            "this replica can park none of them: ended, held by another replica, or copies that wait for their original"
        )
