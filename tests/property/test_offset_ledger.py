"""The arrays of an audit say what a plain book of sets would say."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from meter.accounting.offsets import OffsetLedger, Span
from meter.pipeline.receipt import Receipt

OFFSETS = st.integers(0, 12)
ENDS = st.sampled_from("ad")
RECEIPTS = st.lists(st.dictionaries(OFFSETS, st.tuples(st.sampled_from("xy"), ENDS), max_size=6), max_size=6)


def receipt(ends: Mapping[int, tuple[str, str]]) -> Receipt:
    keys, letters = [key for key, _ in ends.values()], "".join(end for _, end in ends.values())
    return Receipt(1, "g", "p", "e", 0, "b", 0.0, list(ends), keys, letters, keys, [0] * len(keys))


class Book:
    """One offset at a time, as one would do it by hand."""

    def __init__(self, records: Mapping[int, str], receipts: Sequence[Mapping[int, tuple[str, str]]]) -> None:
        named: dict[int, tuple[str, set[str]]] = {}
        for ends in receipts:
            for offset, (key, end) in ends.items():
                old_key, old_ends = named.get(offset, (key, set()))
                named[offset] = (key, {end} | (old_ends if old_key == key else set()))
        self.ends = {o: named[o][1] for o, key in records.items() if o in named and named[o][0] == key}


def spans(offsets: set[int]) -> list[Span]:
    """Neighbours together."""
    found: list[Span] = []
    for offset in sorted(offsets):
        if found and found[-1].last == offset - 1:
            found[-1] = Span(found[-1].first, offset)
        else:
            found.append(Span(offset, offset))
    return found


@given(
    bounds=st.tuples(OFFSETS, OFFSETS).map(sorted),
    records=st.dictionaries(OFFSETS, st.sampled_from("xy")),
    receipts=RECEIPTS,
    letters=st.sets(OFFSETS),
)
def test_ends_gaps_and_overtaken_dead_letters(
    bounds: list[int], records: dict[int, str], receipts: list[dict[int, tuple[str, str]]], letters: set[int]
) -> None:
    """Whatever receipts repeat, contradict or name outside of what is looked at, in whatever order."""
    first, end = bounds
    ledger, book = OffsetLedger(first, end), Book(records, receipts)
    for ends in receipts:
        ledger.receipt(receipt(ends))
    for offset in letters:
        ledger.dead_letter(offset)
    inside = sorted(offset for offset in records if first <= offset < end)
    accepted = ledger.records(inside, [records[offset] for offset in inside]).tolist()

    assert accepted == ["a" in book.ends.get(offset, ()) for offset in inside]
    receipted = {offset for offset in inside if offset in book.ends}
    dead = set(inside) & letters
    duplicate = sum(book.ends[offset] == {"d"} for offset in receipted)
    assert ledger.ends() == (len(inside), sum(accepted), duplicate, len(dead - receipted))
    assert ledger.gaps() == spans(set(inside) - receipted - dead)
    assert ledger.overtaken() == spans(receipted & dead)
