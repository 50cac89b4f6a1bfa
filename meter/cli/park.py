"""`meter dead-letters park`: events that are held without an end leave, because an operator says so."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.letter_filter import CustomerOption
from meter.cli.output import show
from meter.errors import CommandFailed, Unavailable, UserMistake

if TYPE_CHECKING:  # aiokafka is loaded when the command runs
    from meter.kafka.members import Member
    from meter.settings import KafkaSettings, Settings

REFUSALS = ("rejected", "too_large", "unknown_customer")


HeldArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ORIGIN", help="[topic:]partition:offset of held events.")
]
RefusedAsOption = Annotated[
    list[str] | None, typer.Option("--reason", help=f"Held events refused as one of: {', '.join(REFUSALS)}.")
]
AllRefusedOption = Annotated[bool, typer.Option("--all-refused", help="Every held event that was refused.")]
AtOption = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="HOST:PORT", help="Replica to ask instead of http.host:http.port. Repeatable."),
]


def park(
    origins: HeldArgument = None,
    reason: RefusedAsOption = None,
    customer: CustomerOption = None,
    all_refused: AllRefusedOption = False,
    at: AtOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the running daemon move events that it still holds to the dead letters.

    An event whose request is in flight, or ended with an unknown outcome less than two seconds ago, is parked
    afterwards, unless it was accepted. Each replica parks only what it holds itself; the answer names the others.
    """
    _check(origins or [], reason or [], customer or [], all_refused=all_refused, at=at or [])
    settings = read_settings(config)
    origins = whole_origins(origins or [], settings.kafka.topic)
    wanted = {"origins": origins, "reasons": reason or [], "customers": customer or [], "allRefused": all_refused}
    answers = _ask(settings, at or [], wanted)
    parked, waiting = (sum(answer[name] for answer in answers) for name in ("parked", "waiting"))
    asked = {partition for answer in answers for partition in answer.get("partitions", ())}
    elsewhere, trouble = _elsewhere(settings.kafka, asked, origins)
    others = [{"replica": one.name, "host": one.host, "partitions": one.partitions} for one in elsewhere]
    sums = f"parked: {parked:,}; to be parked once their requests have ended: {waiting:,}"
    answer = {"parked": parked, "waiting": waiting, "elsewhere": others}
    show(answer, [sums, *described(elsewhere)], as_json=as_json)
    if trouble:
        typer.echo(f"meter: what other replicas hold is unknown: {trouble}", err=True)
    if origins and not parked + waiting:
        where = "held by another replica" if elsewhere or trouble else "not read yet"
        raise CommandFailed(f"none of them can be parked here: already ended, {where}, or waiting for their original")


def whole_origins(origins: Sequence[str], topic: str) -> list[str]:
    """As `topic:partition:offset`, where `meter status` leaves the topic out; raises `UserMistake`."""
    from meter.pipeline.place import place_of

    whole = [f"{topic}:{text}" if re.fullmatch("[0-9]+:[0-9]+", text) else text for text in origins]
    for origin in whole:
        place = place_of(origin)
        if place is None or place.topic != topic:
            raise UserMistake(f"{origin!r} is not a valid ORIGIN: use {topic}:partition:offset or partition:offset")
    return whole


def described(elsewhere: "Iterable[Member]") -> Iterable[str]:
    """Who else holds something that may be meant, a line each."""
    for member in elsewhere:
        several = len(member.partitions) > 1
        which = f"partition{'s' if several else ''} {', '.join(map(str, member.partitions))}"
        verb = "are" if several else "is"
        yield f"{which} {verb} held by the replica at {member.host} ({member.name}): use --at {member.host}:PORT"


def _check(
    origins: Sequence[str], reasons: Sequence[str], customers: Sequence[str], *, all_refused: bool, at: Sequence[str]
) -> None:
    if not (origins or reasons or customers or all_refused):
        raise UserMistake("say what to park: an ORIGIN, --reason, --customer or --all-refused")
    if origins and (reasons or customers or all_refused):
        raise UserMistake("give either ORIGINs or filters, not both")
    unknown = sorted(set(reasons) - set(REFUSALS))
    if unknown:
        raise UserMistake(f"--reason {unknown[0]!r} is not one of {', '.join(REFUSALS)}")
    for address in at:
        if not re.fullmatch(r"([^:/@\s]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", address):
            raise UserMistake(f"--at {address!r} is not a valid HOST:PORT")


def _ask(settings: "Settings", at: Sequence[str], wanted: dict[str, Any]) -> list[Mapping[str, Any]]:
    """The answer of each replica that is to be asked."""
    from meter.cli.running import Daemon

    answers: list[Mapping[str, Any]] = []
    addresses: Sequence[str | None] = at or [None]
    for address in addresses:
        with Daemon(settings.http, address) as daemon:
            answers.append(daemon.post("/v1/dead-letters/park", wanted))
    return answers


def _elsewhere(kafka: "KafkaSettings", asked: set[int], origins: Sequence[str]) -> "tuple[list[Member], str]":
    """Who has partitions that are meant and were not asked; or why that is not known."""
    from meter.kafka.members import members
    from meter.pipeline.place import place_of

    meant = {place.partition for origin in origins if (place := place_of(origin)) is not None}
    try:
        every = asyncio.run(members(kafka))
    except Unavailable as error:
        return [], str(error)
    missed = [(one, [p for p in one.partitions if p not in asked and (not origins or p in meant)]) for one in every]
    return [one._replace(partitions=partitions) for one, partitions in missed if partitions], ""
