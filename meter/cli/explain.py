"""`meter explain`: what became of one event?"""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.output import show

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
    show(explanation.as_json(), explanation.lines(), as_json=as_json)


async def _run(settings: "Settings", event: str) -> "Explanation":
    from meter.accounting.explain import explain as run
    from meter.accounting.trail import trail_of
    from meter.cli.looking_back import looking_back

    async with looking_back(settings.kafka) as (archive, progress):
        return await run(archive, trail_of(settings), event, progress)
