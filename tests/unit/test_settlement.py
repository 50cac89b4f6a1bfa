"""Ends that are still to be written: receipts and dead letters."""

from collections.abc import Container

from meter.pipeline.now import Now
from meter.pipeline.settlement import CONFLICT, ReceiptWrite, Settlement
from tests.builders import OWNER, Most, accepted, batch, event, events


def settlement(live: Container[int] = frozenset({1})) -> Settlement:
    return Settlement(OWNER, 1.0, live, Most(), "m")


def now(seconds: float = 0.0) -> Now:
    return Now(seconds, 1000.0 + seconds)


def due(writer: Settlement, seconds: float = 0.0, *, at_once: bool = False) -> list[ReceiptWrite]:
    return list(writer.due(now(seconds), at_once=at_once).receipts)


def test_one_receipt_for_each_source_partition_of_a_batch() -> None:
    """Parallel columns: offsets, keys, references and what was not debited stay with their event."""
    writer = settlement()
    sent = batch(event("a"), event("b", partition=1, offset=5), event("c", offset=1))
    writer.accept(sent, accepted(sent, {0: "duplicate", 1: "plan"}), now())
    first, second = due(writer)
    assert (first.receipt.partition, first.receipt.offsets, first.receipt.keys) == (0, [0, 1], ["a", "c"])
    assert (first.receipt.references, first.receipt.undebited) == (["usage_a", "usage_c"], {"0": "duplicate"})
    assert (second.receipt.partition, second.receipt.offsets, second.receipt.undebited) == (1, [5], {"0": "plan"})
    assert (first.receipt.owner, first.receipt.batch, first.receipt.ends) == (OWNER, "b-1", "aa")


def test_copies_ride_in_the_next_receipt_of_their_partition() -> None:
    """A receipt of its own only when none comes in time."""
    writer = settlement()
    writer.duplicates(0, [event("copy", offset=9)], 0.0)
    writer.duplicates(1, [event("other", partition=1)], 0.0)
    sent = batch(event("a"))
    writer.accept(sent, accepted(sent), now())
    (ridden,) = due(writer, 0.5)
    assert (ridden.receipt.ends, ridden.receipt.keys) == ("ad", ["a", "copy"])
    assert writer.next_due() == 1.0
    (own,) = due(writer, 1.0)
    assert (own.receipt.partition, own.receipt.ends, own.receipt.references) == (1, "d", [""])


def test_handing_over_waits_for_no_company() -> None:
    """Copies are written at once, so that the hand-over ends."""
    writer = settlement()
    writer.duplicates(0, [event("copy")], 0.0)
    assert due(writer, 0.0) == []
    assert not writer.is_quiet()
    (own,) = due(writer, 0.0, at_once=True)
    writer.written(own.number)
    assert writer.is_quiet()


def test_receipts_of_copies_have_names_of_their_own() -> None:
    """Two partitions at one moment, and one partition twice."""
    writer, names = settlement(), set()
    for seconds in (0.0, 5.0):
        for partition in (0, 1):
            writer.duplicates(partition, [event("copy", partition=partition)], seconds)
        names |= {one.receipt.batch for one in due(writer, seconds, at_once=True)}
    assert len(names) == 4


def test_what_kafka_does_not_take_is_tried_again_later() -> None:
    """Invariant 7: as often as it takes, and not ever more rarely."""
    writer, seconds = settlement(), 0.0
    writer.dead_letter(event("bad"), "rejected", "no")
    for _ in range(50):
        (write,) = writer.due(now(seconds), at_once=True).dead_letters
        assert not writer.due(now(seconds), at_once=True).dead_letters
        writer.failed(write.number, seconds)
        assert seconds < writer.next_due() <= seconds + 5.1
        seconds = writer.next_due()
    assert not writer.is_quiet()


def test_a_receipt_that_is_too_large_is_split() -> None:
    """W5: two halves, each with its own events; again if that is not enough, down to single events, which wait."""
    writer, sent = settlement(), batch(*events("a", "b", "c"))
    writer.accept(sent, accepted(sent, {2: "plan"}), now())
    (whole,) = due(writer)
    assert writer.too_large(whole.number, 0.0)
    left, right = due(writer)
    assert ([one.key for one in left.events], left.receipt.keys) == (["a"], ["a"])
    assert ([one.key for one in right.events], right.receipt.undebited) == (["b", "c"], {"1": "plan"})
    assert writer.too_large(right.number, 0.0)
    assert [one.receipt.keys for one in due(writer)] == [["b"], ["c"]]
    assert not writer.too_large(left.number, 0.0)
    assert not due(writer, 0.0)
    assert [one.receipt.keys for one in due(writer, 9.0)] == [["a"]]


def test_release_forgets_copies_and_dead_letters_but_no_receipt() -> None:
    """Invariant 6: what the provider accepted is written down whoever owns the partition now."""
    writer, sent = settlement(), batch(event("a"))
    writer.accept(sent, accepted(sent), now())
    writer.duplicates(0, [event("copy")], 0.0)
    writer.dead_letter(event("bad"), "rejected", "no")
    writer.dead_letter(event("odd"), CONFLICT, "other contents", owns_key=False)
    assert [one.key for one in writer.release(frozenset({1}))] == ["bad"]
    assert [one.receipt.ends for one in due(writer, 9.0)] == ["a"]
    assert not writer.due(now(9.0), at_once=True).dead_letters


def test_what_ends_only_released_events_is_not_tried_again() -> None:
    """However often partitions come and go while a topic cannot be written: nothing piles up. Whoever has the events
    next writes their ends; what was accepted is written down in any case."""
    live = {1}
    writer, sent = settlement(live), batch(event("a"))
    writer.accept(sent, accepted(sent), now())
    writer.duplicates(1, [event("copy", partition=1)], 0.0)
    writer.dead_letter(event("bad"), "rejected", "no")
    told = writer.due(now(), at_once=True)
    live.clear()
    writer.release(frozenset({1}))
    numbers = [*(write.number for write in told.receipts), *(write.number for write in told.dead_letters)]
    given_up = [writer.failed(number, 0.0) for number in numbers]
    assert given_up == [None, told.receipts[1], told.dead_letters[0]]
    assert [one.receipt.keys for one in due(writer, 9.0)] == [["a"]]


def test_a_receipt_of_released_copies_that_waits_for_its_next_try_is_forgotten() -> None:
    """As one that had not been tried yet."""
    live = {1}
    writer = settlement(live)
    writer.duplicates(0, [event("copy")], 0.0)
    (tried,) = due(writer, at_once=True)
    writer.failed(tried.number, 0.0)
    live.clear()
    writer.release(frozenset({1}))
    assert writer.is_quiet()


def test_half_a_receipt_may_be_of_released_copies_only() -> None:
    """Only the other one is written."""
    live = {1}
    writer, sent = settlement(live), batch(event("a"))
    writer.duplicates(0, [event("copy", offset=1)], 0.0)
    writer.accept(sent, accepted(sent), now())
    (whole,) = due(writer)
    live.clear()
    assert writer.too_large(whole.number, 0.0)
    assert [one.receipt.keys for one in due(writer)] == [["a"]]


def test_a_conflict_does_not_own_its_key() -> None:
    """The key is that of the event that was billed: nothing is freed when the dead letter is written."""
    writer = settlement()
    writer.dead_letter(event("a"), CONFLICT, "other contents", owns_key=False)
    writer.dead_letter(event("b"), "rejected", "no")
    conflict, rejected = writer.due(now(), at_once=False).dead_letters
    assert conflict.owned_key() is None
    assert rejected.owned_key() is rejected.event
