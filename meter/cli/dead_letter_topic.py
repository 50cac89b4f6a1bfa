"""Dead letters as a person or a program is shown them, one entry per origin."""

from collections import Counter
from collections.abc import Iterator, Sequence

from meter.accounting.letters import Case
from meter.cli.printable import printable
from meter.pipeline.event import Record

COLUMNS = ("ORIGIN", "REASON", "STATE", "KEY", "AT", "DETAIL")


def summary(case: Case) -> dict[str, object]:
    """What a list shows."""
    letter = case.letter
    return {
        "origin": letter.origin,
        "reason": letter.reason,
        "state": _state(case),
        "detail": letter.detail,
        "key": letter.key,
        "customer": letter.customer,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "outcome": "unknown" if letter.is_unknown else "",
        "cut": letter.is_cut,
        "at": letter.at,
        "copies": case.copies,
    }


def whole(case: Case, record: Record) -> dict[str, object]:
    """Everything; bytes that are not UTF-8 stand escaped, and in hexadecimal beside."""
    return {
        **summary(case),
        "headers": [[name, _text(value)] for name, value in record.headers],
        "recordKey": _text(record.key),
        "value": _text(record.value),
        "valueHex": None if record.value is None or _is_text(record.value) else record.value.hex(),
    }


def table(cases: Sequence[Case]) -> Iterator[str]:
    """Plain columns: they can be read without colour, cut and grepped; counts by reason at the end."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    for case in cases:
        letter = case.letter
        cells = (letter.origin, letter.reason, _state(case), letter.key, letter.at, letter.detail)
        rows.append(tuple(map(printable, cells)))
    last = len(COLUMNS) - 1
    widths = [max(len(row[column]) for row in rows) for column in range(last)]
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*padded, row[last]]).rstrip()
    yield ""
    for reason, count in Counter(case.letter.reason for case in cases).most_common():
        yield f"{count:>8,}  {printable(reason)}"
    redriven = sum(not case.is_open for case in cases)
    yield f"{len(cases):>8,}  in all" + (f", {redriven:,} of them redriven" if redriven else "")


def _state(case: Case) -> str:
    return "open" if case.is_open else "redriven"


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
