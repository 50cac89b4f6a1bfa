"""The demo's verdict: it is green for balanced books, and red for every single way in which they may not balance."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from meter.demo.reconciliation import Billed, Expected, Found, Origin, reconcile, unbalance

ROWS = {"a": Billed("cus_1", 1), "b": Billed("cus_2", 20), "c": Billed("cus_1", 0)}
KEYS = {Origin(0, 0): "a", Origin(0, 1): "b", Origin(1, 0): "c", Origin(1, 1): "a"}
DEAD_LETTERED = {Origin(0, 2): "invalid:json", Origin(1, 2): "expired"}
EXPECTED = Expected(rows=ROWS, keys=KEYS, dead_lettered=DEAD_LETTERED)
FOUND = Found(
    rows=list(ROWS.items()),
    dead_lettered=DEAD_LETTERED,
    receipted=KEYS,
    accepted_keys=frozenset(ROWS),
    lag={0: 0, 1: 0},
    counters={"consumed": 6, "accepted": 3, "duplicate": 1, "dead_lettered": 2, "released": 0, "held": 0},
)


def without(mapping: dict[Origin, str], origin: Origin) -> dict[Origin, str]:
    return {place: value for place, value in mapping.items() if place != origin}


def test_balanced_books_have_no_fault() -> None:
    """Each event one row, each broken record one dead letter, each offset an end: the verdict is green."""
    assert reconcile(EXPECTED, FOUND) == []


@pytest.mark.parametrize(
    ("spoil", "title"),
    [
        (lambda f: replace(f, rows=f.rows[1:]), "valid events without a row"),
        (lambda f: replace(f, rows=[*f.rows, f.rows[0]]), "billed more than once"),
        (lambda f: replace(f, rows=[*f.rows, ("x", Billed("cus_1", 1))]), "that nobody produced"),
        (lambda f: replace(f, rows=[("a", Billed("cus_1", 2)), *f.rows[1:]]), "other units than the event"),
        (lambda f: replace(f, rows=[("a", Billed("cus_9", 1)), *f.rows[1:]]), "another customer"),
        (lambda f: replace(f, dead_lettered={Origin(0, 2): "invalid:json"}), "invalid records without a dead letter"),
        (lambda f: replace(f, dead_lettered=f.dead_lettered | {Origin(0, 0): "conflict"}), "that are not invalid"),
        (lambda f: replace(f, dead_lettered=f.dead_lettered | {Origin(1, 2): "future"}), "with another reason"),
        (lambda f: replace(f, receipted=without(KEYS, Origin(1, 1))), "without an end in receipts or dead letters"),
        (lambda f: replace(f, receipted=KEYS | {Origin(3, 7): "a"}), "receipts of records that nobody produced"),
        (lambda f: replace(f, receipted=KEYS | {Origin(1, 1): "b"}), "another key than the record"),
        (lambda f: replace(f, receipted=KEYS | {Origin(0, 2): "a"}), "a receipt and a dead letter"),
        (lambda f: replace(f, accepted_keys=frozenset("ab")), "no receipt calls accepted"),
        (lambda f: replace(f, accepted_keys=frozenset("abcd")), "call accepted what nobody produced"),
        (lambda f: replace(f, lag={0: 0, 1: 1}), "lag is not 0"),
        (lambda f: replace(f, lag={0: 0}), "lag is not 0"),
        (lambda f: replace(f, lag={0: 0, 1: None}), "lag is not 0"),
        (lambda f: replace(f, counters=f.counters | {"accepted": 4}), "counters that do not add up"),
        (lambda f: replace(f, counters=f.counters | {"held": -1}), "counters that do not add up"),
    ],
)
def test_one_thing_wrong_spoils_the_verdict(spoil: Callable[[Found], Found], title: str) -> None:
    """A row removed, doubled, foreign or changed, an end missing, lag, a lost count: each is seen and named."""
    faults = reconcile(EXPECTED, spoil(FOUND))
    assert [fault for fault in faults if title in fault.title], faults


def test_a_record_that_the_decoder_reads_otherwise_spoils_the_verdict() -> None:
    """The generator knows what each record means; a decoder that disagrees cannot vouch for itself."""
    assert reconcile(replace(EXPECTED, misread=["0:7 (canonical) is valid"]), FOUND)


def test_a_fault_names_ten_members_and_counts_the_rest() -> None:
    """The report of a disaster stays readable."""
    many = {f"key-{number:02d}": Billed("cus_1", 1) for number in range(12)}
    fault = str(reconcile(replace(EXPECTED, rows=ROWS | many), FOUND)[0])
    assert "(12)" in fault
    assert "key-09, and 2 more" in fault
    assert "key-10" not in fault


def test_the_counters_balance_when_every_consumed_event_has_an_end_or_is_held() -> None:
    """consumed = accepted + duplicate + dead_lettered + released + held."""
    counters = {"consumed": 10, "accepted": 4, "duplicate": 1, "dead_lettered": 1, "released": 1, "held": 3}
    assert unbalance(counters) == 0
    assert unbalance(counters | {"held": 2}) == 1
