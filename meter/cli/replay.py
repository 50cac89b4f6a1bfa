"""`meter replay`: a range of the source topic goes into it again, each event under the key that it had."""

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.letter_filter import CustomerOption
from meter.cli.moments import FORM, span_of
from meter.cli.output import show
from meter.cli.sending import DryRunOption, PerSecondOption, going_on_by
from meter.errors import UserMistake

if TYPE_CHECKING:  # aiokafka, numpy and rich are loaded when the command runs
    from meter.accounting.replay import Order, Outcome
    from meter.settings import KafkaSettings

SHOWN = 20


FirstOption = Annotated[
    str, typer.Option("--from", metavar="TIME", help=f"Records produced at or after this time: {FORM}")
]
EndOption = Annotated[str, typer.Option("--to", metavar="TIME", help=f"Records produced before this time: {FORM}")]
UnbilledOption = Annotated[bool, typer.Option("--unbilled", help="Only records that no receipt lists as accepted.")]
BeyondMemoryOption = Annotated[
    bool,
    typer.Option(
        "--beyond-provider-memory",
        help="Include events that the provider may have forgotten: those already billed are billed a second time.",
    ),
]


def replay(
    since: FirstOption,
    until: EndOption,
    customer: CustomerOption = None,
    unbilled: UnbilledOption = False,
    beyond_provider_memory: BeyondMemoryOption = False,
    dry_run: DryRunOption = False,
    per_second: PerSecondOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the records of a time range to the source topic again, each under its original idempotency key.

    Events that were billed are recognised, by meter or by the provider. Nothing at or above the group's committed
    offset is sent, and that offset does not move. If interrupted, run it again: what is sent twice is billed once.
    """
    from meter.accounting.replay import Order, refuse
    from meter.accounting.replay_rules import Choice, Memory
    from meter.accounting.trail import trail_of

    settings = read_settings(config)
    dedupe = settings.dedupe
    memory = Memory(settings.billing.idempotency_window_seconds, dedupe.window_seconds, dedupe.max_ids)
    choice = Choice(frozenset(customer or ()), unbilled, beyond_provider_memory)
    order = Order(trail_of(settings), *_span(since, until), memory, choice, per_second, dry_run)
    if not dry_run and (why_not := refuse(order, time.time())):
        raise UserMistake(why_not)
    with going_on_by("run it again: what was sent is recognised"):
        outcome = asyncio.run(_run(settings.kafka, order))
    show(as_plain(outcome, dry_run=dry_run), described(outcome, dry_run=dry_run), as_json=as_json)


def as_plain(outcome: "Outcome", *, dry_run: bool) -> dict[str, object]:
    """Counts, and those of each customer; `recognised` are of the sent ones those that a receipt calls accepted."""
    customers = sorted({*outcome.billed, *outcome.unbilled})
    return {
        "dryRun": dry_run,
        "refused": outcome.refusal or None,
        "sent": outcome.sent,
        "recognised": outcome.billed.total(),
        "unbilled": outcome.unbilled.total(),
        "leftAlone": dict(outcome.left),
        "uncommitted": outcome.uncommitted,
        "customers": {
            name: {"recognised": outcome.billed[name], "unbilled": outcome.unbilled[name]} for name in customers
        },
    }


def described(outcome: "Outcome", *, dry_run: bool) -> Iterator[str]:
    """The same for a person; in a dry run the customers as well."""
    if dry_run:
        yield from _by_customer(outcome)
    billed, unbilled = outcome.billed.total(), outcome.unbilled.total()
    yield (
        f"{'would be sent' if dry_run else 'sent'}: {outcome.sent:,} ({billed:,} already accepted by receipt, so "
        f"recognised; {unbilled:,} not)"
    )
    for reason, count in outcome.left.most_common():
        yield f"skipped, {reason}: {count:,}{_hint(reason)}"
    if outcome.uncommitted:
        yield f"not below the committed offset, so left to the daemon: {outcome.uncommitted:,}"
    if outcome.refusal:
        yield f"without --dry-run it would be refused: {outcome.refusal}"


def _by_customer(outcome: "Outcome") -> Iterator[str]:
    sums = outcome.billed + outcome.unbilled
    for name, count in sums.most_common(SHOWN):
        yield f"{count:>10,}  {name}  ({outcome.billed[name]:,} recognised)"
    if len(sums) > SHOWN:
        yield f"... and {len(sums) - SHOWN:,} more customers (--json lists all)"


def _hint(reason: str) -> str:
    from meter.accounting.replay_rules import Left

    hints: dict[str, str] = {
        Left.EXPIRED: " (older than the provider accepts)",
        Left.FUTURE: " (further in the future than the provider accepts)",
        Left.DEAD_LETTERED: " (use meter dead-letters redrive)",
        Left.REPLAYED: " (sent by an earlier replay: use the times of the originals)",
        Left.BEYOND_MEMORY: " (may have been billed and forgotten; --beyond-provider-memory sends them)",
    }
    return hints.get(reason, "")


def _span(since: str, until: str) -> tuple[float, float]:
    """Both are given."""
    first, end = span_of(since, until)
    return first or 0.0, end or 0.0


async def _run(kafka: "KafkaSettings", order: "Order") -> "Outcome":
    from meter.accounting.replay import Replaying
    from meter.cli.letter_sender import resending
    from meter.clock import SystemClock

    async with resending(kafka) as (archive, sender, progress):
        return await Replaying(archive, sender, order, SystemClock(), asyncio.sleep, progress).run()
