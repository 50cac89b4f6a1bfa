"""`meter explain`: what became of one event?"""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.printable import printable

if TYPE_CHECKING:  # aiokafka and numpy are loaded when the command runs
    from meter.accounting.trace import Explanation
    from meter.settings import Settings


def explain(
    event: Annotated[
        str, typer.Argument(metavar="KEY|ORIGIN", help="Its idempotency key, or topic:partition:offset of its record.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what became of one event: its records and copies, receipt and batch, outcome and provider reference.

    Searches the topics as far back as they are retained. Exits with 1 if they hold no trace of it.
    """
    explanation = asyncio.run(_run(read_settings(config), event))
    if as_json:
        typer.echo(json.dumps(explanation.as_json()))
        return
    for line in explanation.lines():
        typer.echo(printable(line))


async def _run(settings: "Settings", event: str) -> "Explanation":
    from meter.accounting.explain import explain as run
    from meter.accounting.trail import trail_of
    from meter.cli.progress import bars
    from meter.kafka.archive import open_archive

    async with open_archive(settings.kafka) as archive:
        with bars() as progress:
            return await run(archive, trail_of(settings), event, progress)
