"""`meter limits`: may this customer go on, as the running daemon answers it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from meter.cli.configuration import ConfigOption, JsonOption, read_settings
from meter.cli.output import show

UNLIMITED = 999_999

SOURCES = {
    "fresh": "asked the provider just now",
    "cached": "from the cache",
    "stale": "from the cache, because the provider is away",
    "policy": "limits.on_unavailable decides, because there is neither provider nor snapshot",
}


def limits(
    customer: Annotated[str, typer.Argument(help="The customer's reference.")],
    product: Annotated[str, typer.Argument(help="The product's reference.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the running daemon whether a customer may go on."""
    from meter.cli.running import Daemon

    with Daemon(read_settings(config).http) as daemon:
        answer = daemon.get(f"/v1/limits/{quote(customer, safe='')}/{quote(product, safe='')}")
    show(answer, described(customer, product, answer, datetime.now(UTC)), as_json=as_json)


def described(customer: str, product: str, answer: Mapping[str, Any], now: datetime) -> list[str]:
    """The answer in words: the verdict, what it is made of, and how old it is."""
    about: Mapping[str, Any] = answer.get("meter") or {}
    allowed = answer.get("withinLimits")
    verdict = "may go on" if allowed else "must stop"
    source = str(about.get("source", "unknown"))
    lines = [f"{customer} {verdict} with {product}: {_left(answer.get('remaining'), source)}"]
    provider, pending = about.get("providerRemaining"), about.get("pendingUnits")
    if provider is not None:
        lines.append(f"  provider says {provider}, minus {pending or 0} that it has not seen yet")
    lines.append(f"  {source}: {SOURCES.get(source, 'source not known')}{_age(about.get('asOf'), now)}")
    return lines


def _left(remaining: object, source: str) -> str:
    if source == "policy":  # its 0 says only that nothing is promised
        return "how much is left is unknown"
    return "unlimited" if remaining == UNLIMITED else f"{remaining} left"


def _age(as_of: object, now: datetime) -> str:
    if not isinstance(as_of, str):
        return ""
    try:
        then = datetime.fromisoformat(as_of)
    except ValueError:
        return f", as of {as_of}"
    seconds = (now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    return f", {max(0.0, seconds):.1f} s old"
