"""Records that can never be billed, one kind per rule, and the dead letter that each must become."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from meter.demo.dialects import canonical, dump
from meter.demo.usage import Usage, Written

CONFLICT: Final = "conflict"


def _with(**changes: object) -> Callable[[Usage], Written]:
    """The usage with some fields replaced."""
    return lambda usage: Written(dump(canonical(usage) | changes))


def _bytes(value: bytes | None) -> Callable[[Usage], Written]:
    return lambda usage: Written(value)


def _without_customer(usage: Usage) -> Written:
    fields = canonical(usage)
    del fields["customerRef"]
    return Written(dump(fields))


def _not_utf8(usage: Usage) -> Written:
    return Written(dump(canonical(usage)).replace(b"eu-north-1", b"eu-\xff\xfe"))


def _shifted(shift: timedelta) -> Callable[[Usage], Written]:
    def write(usage: Usage) -> Written:
        moved = replace(usage, timestamp_seconds=usage.timestamp_seconds + shift.total_seconds())
        return Written(dump(canonical(moved)))

    return write


FAULTS: Final[Mapping[str, tuple[str, Callable[[Usage], Written]]]] = {
    "not_json": ("invalid:not_json", _bytes(b'{"customerRef": "cus_')),
    "no_customer": ("invalid:missing_customer", _without_customer),
    "fractional_units": ("invalid:units", _with(units=1.5)),
    "too_many_units": ("invalid:units", _with(units=100_001)),
    "unknown_outcome": ("invalid:outcome", _with(outcome="maybe")),
    "lone_surrogate": ("invalid:lone_surrogate", _with(customerRef="cus_\ud800")),
    "31_days_old": ("expired", _shifted(timedelta(days=-31))),
    "2_days_ahead": ("future", _shifted(timedelta(days=2))),
    "two_spellings": ("invalid:conflicting_names", _with(customerId="cus_SOMEBODY")),
    CONFLICT: (CONFLICT, _with(units=77_777)),
    "tombstone": ("invalid:empty", _bytes(None)),
    "not_an_object": ("invalid:not_an_object", _bytes(b"[1, 2, 3]")),
    "negative_units": ("invalid:units", _with(units=-1)),
    "units_as_text": ("invalid:units", _with(units="3")),
    "not_a_number": ("invalid:not_json", _with(duration=float("nan"))),
    "not_utf8": ("invalid:not_json", _not_utf8),
    "unknown_action_type": ("invalid:action_type", _with(actionType="teleport")),
}
"""Name -> (its end: the reason of its dead letter, how it is written)."""
