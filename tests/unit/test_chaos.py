"""The oracle of `make chaos` is itself shown to see what it must: doubles by cause, and copies that came too late."""

import random
from collections.abc import Sequence

from meter.demo.reconciliation import Origin
from tests.chaos import forgetting
from tests.chaos.forgetting import Ended, Row
from tests.chaos.stream import Stream

MEMORY_SECONDS = 60.0


def doubles_of(
    *ended: Ended, seconds_between: float = 70.0, copies_in: int = 0, outages: Sequence[tuple[float, float]] = ()
) -> list[str]:
    """The causes found for one key with two rows, produced in partition 0 and as a copy in another."""
    rows = [Row("key", "usage-1", 1000.0), Row("key", "usage-2", 1000.0 + seconds_between)]
    produced = {Origin(0, 5): "key", Origin(copies_in, 9): "key"}
    return [*forgetting.doubles(rows, ended, produced, outages, MEMORY_SECONDS).elements()]


def accepted(partition: int, reference: str) -> Ended:
    """An accepted event in a receipt."""
    return Ended(Origin(partition, 5), "key", reference, 1001.0)


def test_rows_of_copies_in_two_partitions_are_told_as_such() -> None:
    """Both rows have a receipt, from partitions of which each may have been another process's."""
    assert doubles_of(accepted(0, "usage-1"), accepted(1, "usage-2")) == [forgetting.COPY_ELSEWHERE]


def test_a_copy_elsewhere_whose_answer_was_lost_is_told_by_where_it_was_produced() -> None:
    """Only the first row has a receipt; the key was produced in another partition, too."""
    assert doubles_of(accepted(0, "usage-1"), copies_in=1) == [forgetting.COPY_ELSEWHERE]


def test_a_row_that_was_never_answered_for_was_sent_again() -> None:
    """The first row has no receipt: who sent it had to send it again, too late."""
    assert doubles_of(accepted(0, "usage-2"), outages=[(1001.0, 1065.0)]) == [forgetting.SENT_AGAIN]


def test_a_row_that_was_sent_again_without_an_outage_has_no_cause() -> None:
    """Nobody was away meanwhile: nothing excuses that it took so long."""
    assert doubles_of(accepted(0, "usage-2"), outages=[(900.0, 970.0)]) == [forgetting.UNEXPLAINED]


def test_what_meter_should_have_recognised_has_no_cause() -> None:
    """A receipt named the row, and the same partition was billed again: that is meter's own fault."""
    assert doubles_of(accepted(0, "usage-1"), accepted(0, "usage-2")) == [forgetting.UNEXPLAINED]


def test_two_rows_within_the_providers_memory_have_no_cause() -> None:
    """The provider still knew the key."""
    assert doubles_of(accepted(0, "usage-2"), seconds_between=10.0) == [forgetting.UNEXPLAINED]


def test_copies_that_only_meter_could_recognise_are_counted() -> None:
    """Those that ended as duplicates when the provider had forgotten their key; not those that came in time."""
    rows = [Row("early", "usage-1", 1000.0), Row("late", "usage-2", 1100.0)]
    ended = [
        Ended(Origin(0, 0), "early", "usage-1", 1004.5),
        Ended(Origin(0, 1), "early", "", 1030.0),
        Ended(Origin(0, 2), "early", "", 1070.0),
    ]
    assert forgetting.measured(rows, ended, MEMORY_SECONDS) == {
        "keys that the provider had forgotten before the end": 1,
        forgetting.ONLY_METER: 1,
        "longest time from a row to its receipt, in seconds": 4.5,
    }


def test_copies_stay_in_the_partition_of_their_original_or_go_anywhere() -> None:
    """As the variant says; partitions that are added while the stream flows take part."""

    def places_of(*, anywhere: bool) -> dict[str, set[int]]:
        partitions = iter(range(4, 10_000))
        stream = Stream(random.Random(1), 2_000, lambda: next(partitions) // 1000 + 4, anywhere=anywhere)
        places: dict[str, set[int]] = {}
        for one in stream:
            if one.key is not None:
                places.setdefault(one.key, set()).add(one.partition)
        return places

    assert {len(places) for places in places_of(anywhere=False).values()} == {1}
    assert max(len(places) for places in places_of(anywhere=True).values()) > 1


def test_late_copies_are_of_events_that_are_old_enough() -> None:
    """None is made while nothing is; with no age asked for, everything that was made is."""
    late, none = (Stream(random.Random(1), 500, lambda: 4, anywhere=True, late_seconds=age) for age in (0.0, 3600.0))
    assert len(list(late)) > 500
    assert len(list(none)) > 500
    assert late.extra["copy late"] > 0
    assert none.extra["copy late"] == 0
