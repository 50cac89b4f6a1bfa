"""The demo's stream: what is in it, that it is repeatable, and what is expected of it."""

import json
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from meter.demo.dialects import DIALECTS
from meter.demo.events import BILLED, COPY, RESTART_SHARE, Planned, World, allowance, stream
from meter.demo.expectation import Produced, expect
from meter.demo.faults import CONFLICT, FAULTS

NOW = 1_750_000_000.0
WORLD = World([f"cus_{n:03d}" for n in range(50)], ["prd_A", "prd_B"], "cus_LIMITED", "prd_FREE")
RECORDS = 10_000


@pytest.fixture(scope="module")
def planned() -> list[Planned]:
    return stream(1, RECORDS, WORLD, NOW)


def produced(records: Sequence[Planned]) -> list[Produced]:
    return [Produced(record, 0, offset, int(NOW * 1000)) for offset, record in enumerate(records)]


def test_the_same_seed_makes_the_same_stream() -> None:
    """A run can be repeated; another seed is another run."""
    first, again, other = (stream(seed, 1000, WORLD, NOW) for seed in (1, 1, 2))
    assert first == again != other


def test_the_stream_holds_three_percent_copies_and_half_a_percent_faults(planned: list[Planned]) -> None:
    """The shares are exact, and every dialect and every kind of fault occurs."""
    kinds = Counter(record.kind for record in planned)
    assert len(planned) == RECORDS
    assert kinds[COPY] == 300
    assert sum(kinds[fault] for fault in FAULTS) == 50
    assert kinds.keys() == {*DIALECTS, *FAULTS, COPY}


def test_a_copy_is_its_original_again_later_and_with_the_same_key(planned: list[Planned]) -> None:
    """Same bytes and same partition, so that whoever handles the original also sees the copy."""
    first: dict[int, Planned] = {}
    for record in planned:
        if record.kind == COPY:
            original = first[record.event]
            assert (record.key, record.value, record.headers) == (original.key, original.value, original.headers)
        elif record.end == BILLED:
            first[record.event] = record


def test_copies_are_near_far_and_across_the_restart(planned: list[Planned]) -> None:
    """Some meet a held original, some the window, some a window that another process has filled."""
    spans = [(record.event, position) for position, record in enumerate(planned) if record.kind == COPY]
    kill = RECORDS * RESTART_SHARE
    assert sum(position - original < 200 for original, position in spans) > 50
    assert sum(position - original > RECORDS / 10 for original, position in spans) > 50
    assert sum(original < kill - RECORDS / 20 and position > kill + RECORDS / 5 for original, position in spans) > 30


def test_a_conflict_carries_the_id_of_an_earlier_event_and_other_units(planned: list[Planned]) -> None:
    """It follows its original in the same partition, and says something else."""
    told: dict[str, dict[str, object]] = {}
    for record in planned:
        if record.kind == CONFLICT:
            fields = json.loads(record.value or b"")
            assert told[fields["idempotencyKey"]]["units"] != fields["units"]
            assert told[fields["idempotencyKey"]]["customerRef"].encode() == record.key  # type: ignore[attr-defined]  # parsed JSON
        elif record.kind == "canonical":
            fields = json.loads(record.value or b"")
            told[fields["idempotencyKey"]] = fields


def test_the_limited_customer_runs_into_its_allowance(planned: list[Planned]) -> None:
    """The plan is too small for its usage, and not by a hair."""
    used = sum(r.units for r in planned if r.customer == WORLD.limited_customer and r.kind in DIALECTS)
    assert 20 < allowance(planned, WORLD.limited_customer) < used * RESTART_SHARE


def test_expected_is_one_row_per_event_and_one_dead_letter_per_fault(planned: list[Planned]) -> None:
    """Copies add nothing; whatever is not billed is dead-lettered under its own origin."""
    expected = expect(produced(planned), lambda record: f"key-{record.planned.event}")
    assert len(expected.rows) == RECORDS - 300 - 50
    assert len(expected.dead_lettered) == 50
    assert len(expected.origins) == RECORDS
    assert not expected.misread


@pytest.mark.parametrize(
    "misreading",
    [
        lambda record: None,
        lambda record: "the same for all",
        lambda record: f"key-{record.offset}",
    ],
)
def test_a_decoder_that_reads_otherwise_than_meant_is_named(
    misreading: Callable[[Produced], str | None], planned: list[Planned]
) -> None:
    """Valid called invalid, two events with one key, copies with two keys: all of it shows in the verdict."""
    assert expect(produced(planned), misreading).misread
