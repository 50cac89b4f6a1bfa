"""`meter dead-letters redrive`: events whose cause was fixed go back to the source topic, under their own keys."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.letter_filter import CustomerOption, ReasonOption, letter_filter
from meter.cli.moments import SinceOption, UntilOption
from meter.cli.output import show
from meter.cli.sending import DryRunOption, PerSecondOption, going_on_by
from meter.errors import CommandFailed

if TYPE_CHECKING:  # aiokafka and rich are loaded when the command runs
    from meter.accounting.redrive import Errand, Fate
    from meter.settings import KafkaSettings

SHOWN = 20


OriginsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="ORIGIN", help="topic:partition:offset; by default, all that match the filters."),
]
NewKeyOption = Annotated[
    bool, typer.Option("--new-key", help="Bill a `conflict` as a separate event, under a new key.")
]
IncludeUnknownOption = Annotated[
    bool, typer.Option("--include-unknown", help="Include events that the provider may have recorded already.")
]
MaxRedrivesOption = Annotated[
    int, typer.Option("--max-redrives", min=1, help="Skip events that have already come back this often.")
]


def redrive(
    origins: OriginsArgument = None,
    reason: ReasonOption = None,
    customer: CustomerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: DryRunOption = False,
    per_second: PerSecondOption = None,
    new_key: NewKeyOption = False,
    include_unknown: IncludeUnknownOption = False,
    max_redrives: MaxRedrivesOption = 3,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters back to the source topic, each once and under its original idempotency key.

    Each redrive is recorded in the dead-letter topic: if interrupted, run it again to continue. Events that are already
    billed, that would be dead-lettered again at once, or whose outcome is unknown are skipped.
    """
    from meter.accounting.redrive import Errand
    from meter.accounting.redrive_rules import Rules
    from meter.accounting.trail import trail_of

    settings = read_settings(config)
    wanted = letter_filter(origins or [], reason, customer, since, until)
    rules = Rules(settings.kafka.topic, new_key, include_unknown, max_redrives)
    errand = Errand(trail_of(settings), wanted, rules, per_second, dry_run)
    with going_on_by("run it again to continue"):
        fates = asyncio.run(_run(settings.kafka, errand))
    nothing = f"no dead letters in {settings.kafka.dead_letter_topic} that match"
    lines = described(fates, dry_run=dry_run) if fates or origins else [nothing]
    show(as_plain(fates, dry_run=dry_run), lines, as_json=as_json)
    missing = sorted(set(origins or ()) - {fate.origin for fate in fates})
    if missing:
        raise CommandFailed(f"no matching dead letter in {settings.kafka.dead_letter_topic}: {', '.join(missing)}")


def as_plain(fates: "Sequence[Fate]", *, dry_run: bool) -> dict[str, object]:
    """Counts by result, and every letter with its own."""
    return {
        "dryRun": dry_run,
        "results": dict(Counter(fate.result for fate in fates)),
        "letters": [fate._asdict() for fate in fates],
    }


def described(fates: "Sequence[Fate]", *, dry_run: bool) -> Iterator[str]:
    """Counts by result; in a dry run the first letters as well, above all those that would go."""
    from meter.accounting.redrive import REDRIVEN

    if dry_run:
        going_first = sorted(fates, key=lambda fate: fate.result != REDRIVEN)
        for fate in going_first[:SHOWN]:
            yield f"{fate.origin}  {fate.reason}  {'would be redriven' if fate.result == REDRIVEN else fate.result}"
        if len(fates) > SHOWN:
            yield f"... and {len(fates) - SHOWN:,} more (--json lists all)"
    counts = Counter(fate.result for fate in fates)
    yield f"{'would be redriven' if dry_run else 'redriven'}: {counts.pop(REDRIVEN, 0):,}"
    for result, count in counts.most_common():
        yield f"skipped, {result}: {count:,}{_hint(result)}"


def _hint(result: str) -> str:
    from meter.accounting.redrive_rules import Skip

    hints: dict[str, str] = {
        Skip.CONFLICT: " (--new-key bills them as separate events)",
        Skip.UNKNOWN_OUTCOME: " (--include-unknown sends them; look for them at the provider first)",
        Skip.LOOPED: " (--max-redrives allows more)",
        Skip.OUT_OF_RETENTION: " (they were truncated, and the source topic no longer has the full record)",
    }
    return hints.get(result, "")


async def _run(kafka: "KafkaSettings", errand: "Errand") -> "list[Fate]":
    from meter.accounting.redrive import Redriving
    from meter.cli.letter_sender import resending
    from meter.clock import SystemClock

    async with resending(kafka) as (archive, sender, progress):
        return await Redriving(archive, sender, errand, SystemClock(), asyncio.sleep, progress).run()
