"""Offsets above the commit that receipts name."""

from meter.pipeline.recognised import Recognised


def test_each_offset_gives_its_key_once() -> None:
    """Whatever was added last to it, however far apart they lie; those below the first count for nothing."""
    recognised = Recognised()
    recognised.add([5, 9, 1_000_000], ["low", "old", "far"], 6)
    recognised.add([9], ["new"], 6)
    assert [recognised.take(offset) for offset in (5, 9, 9, 1_000_000)] == [None, "new", None, "far"]


def test_nothing_is_left_when_all_were_taken() -> None:
    """Records that come later are not even looked for."""
    recognised = Recognised()
    assert not recognised
    recognised.add(range(10_000), [f"k{offset}" for offset in range(10_000)], 0)
    assert recognised
    for offset in range(10_000):
        recognised.take(offset)
    assert not recognised
