"""The page of `meter status`: every number stands beside its name, so that nothing needs colour."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

EVENT_ENDS = ("accepted", "duplicate", "dead_lettered", "released", "held")
REFUSED_SHOWN = 3
COLUMNS = ("partition", "position", "committed", "end", "lag")


def page(address: str, answer: Mapping[str, Any], consumed_per_second: float | None = None) -> RenderableType:
    """Ready or why not, billing, where the events are, and the partitions; the rate when two answers are known."""
    return Group(*_lines(address, answer, consumed_per_second), _partitions(answer.get("partitions") or []))


def _lines(address: str, answer: Mapping[str, Any], consumed_per_second: float | None) -> Iterator[Text]:
    yield Text(f"meter at {address}: {'ready' if answer.get('ready') else 'not ready'}", style="bold")
    for reason in answer.get("reasons") or []:
        yield Text(f"  because {reason}", style="yellow")
    yield Text(f"billing  {_billing(answer.get('billing') or {})}")
    yield from refused_lines((answer.get("billing") or {}).get("refused") or {})
    rate = "" if consumed_per_second is None else f"  ({consumed_per_second:,.0f} a second)"
    yield Text(f"events   {invariant(answer.get('events') or {})}{rate}")
    for name, key in (("batches", "batches"), ("dead", "dead_lettered"), ("undebited", "not_debited")):
        if answer.get(key):
            yield Text(f"{name:<8} " + ", ".join(f"{count:,} {reason}" for reason, count in answer[key].items()))
    if answer.get("lost_records"):
        yield Text(f"LOST     {answer['lost_records']:,} records expired before they were read", style="bold red")
    if answer.get("cut_logs"):
        yield Text(f"CUT      {answer['cut_logs']:,} times a partition ended below its commit", style="bold red")


def _billing(billing: Mapping[str, Any]) -> str:
    why = ": ".join(str(billing[key]) for key in ("reason", "detail") if billing.get(key))
    return f"{billing.get('state', 'unknown')}" + (f" ({why})" if why else "")


def refused_lines(refused: Mapping[str, Any]) -> Iterator[Text]:
    """By `partition:offset`, as `meter dead-letters park` takes it."""
    count, first = int(refused.get("events") or 0), list(refused.get("first") or [])
    if count:
        yield Text(f"refused  {count:,} held until another event is accepted, or they are parked:", style="yellow")
    for one in first[:REFUSED_SHOWN]:
        yield Text(f"  {one.get('origin')}  {one.get('reason')}: {one.get('detail')}")
    if count > REFUSED_SHOWN:
        yield Text(f"  and {count - REFUSED_SHOWN:,} more")


def invariant(events: Mapping[str, Any]) -> str:
    """`consumed = accepted + duplicate + dead-lettered + released + held`, with what is true right now."""
    counts = {end: int(events.get(end) or 0) for end in EVENT_ENDS}
    consumed = int(events.get("consumed") or 0)
    parts = [f"{count:,} {end.replace('_', '-')}" for end, count in counts.items()]
    return f"{consumed:,} consumed {'=' if consumed == sum(counts.values()) else 'IS NOT'} {' + '.join(parts)}"


def _partitions(rows: list[Mapping[str, Any]]) -> RenderableType:
    if not rows:
        return "no partitions are assigned"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: int(row.get("partition") or 0)):
        table.add_row(*("-" if row.get(column) is None else f"{row[column]}" for column in COLUMNS))
    return table
