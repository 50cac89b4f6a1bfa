"""The receipt as bytes."""

from pathlib import Path

import msgspec
import pytest

from meter.pipeline.receipt import VERSION, Receipt, decode, encode, halves, newer_version


def receipt(*offsets: int, undebited: dict[str, str] | None = None) -> Receipt:
    return Receipt(
        v=1,
        group="meter",
        provider="http://provider",
        environment="sandbox",
        partition=3,
        batch="m-1",
        at=1000.5,
        offsets=list(offsets),
        keys=[f"k{offset}" for offset in offsets],
        ends="a" * len(offsets),
        references=[f"usage_{offset}" for offset in offsets],
        digests=[offset * 7 for offset in offsets],
        undebited=undebited or {},
    )


def test_what_was_written_is_read() -> None:
    """Every column, and whose it is."""
    one = receipt(1, 2, 9, undebited={"2": "duplicate"})
    assert decode(encode(one)) == one
    assert one.owner == ("meter", "http://provider", "sandbox")


def test_halves_hold_every_end_once() -> None:
    """Positions of what was not debited move with their events."""
    left, right = halves(receipt(1, 2, 3, undebited={"0": "plan", "1": "duplicate", "2": "none"}))
    assert (left.offsets, left.keys, left.ends, left.undebited) == ([1], ["k1"], "a", {"0": "plan"})
    assert (right.offsets, right.digests, right.references) == ([2, 3], [14, 21], ["usage_2", "usage_3"])
    assert right.undebited == {"0": "duplicate", "1": "none"}


@pytest.mark.parametrize("value", [None, b"", b"null", b"[]", b"\xff", b"{}", b'{"v":1}', b"\x00" * 9])
def test_what_is_no_receipt_is_none(value: bytes | None) -> None:
    """Whatever else somebody writes to the topic, reading goes on."""
    assert decode(value) is None


def test_columns_of_different_lengths_and_later_versions_are_none() -> None:
    """Half a receipt would name ends that nobody wrote."""
    short = msgspec.structs.replace(receipt(1, 2), keys=["k1"])
    later = msgspec.structs.replace(receipt(1), v=2)
    assert decode(encode(short)) is None
    assert decode(encode(later)) is None


def test_a_newer_version_is_told_from_what_is_no_receipt() -> None:
    """Whoever reads all receipts to be sure must not take what it cannot read for nothing."""
    assert newer_version(encode(msgspec.structs.replace(receipt(1), v=VERSION + 1))) == VERSION + 1
    assert newer_version(b'{"v":7,"other":"columns"}') == 7
    assert [newer_version(value) for value in (None, b"{}", b"\xff", b'{"v":"2"}', encode(receipt(1)))] == [None] * 5


def test_receipts_in_a_file_of_version_1_are_read_and_are_still_written_so() -> None:
    """Golden, byte for byte: a topic holds what every version since has written, and older ones may read ours."""
    lines = (Path(__file__).parent / "receipts_of_version_1.jsonl").read_bytes().splitlines()
    found = [decode(line) for line in lines]
    assert [encode(one) for one in found if one is not None] == lines
    assert [(one.offsets, one.keys, one.ends) for one in found if one is not None] == [
        ([17, 18, 21], ["event-17", "cl:usage-events:3:18:1763930000000", "event-17"], "aad"),
        ([22], ["é😀"], "a"),
    ]
    assert [one.undebited for one in found if one is not None] == [{"1": "no_active_purchase"}, {}]


def test_a_receipt_of_the_first_version_is_read_for_ever() -> None:
    """Golden: what stands in topics was written by older versions, with and without what was not debited."""
    plain = (
        b'{"v":1,"group":"meter","provider":"http://provider","environment":"sandbox","partition":3,"batch":"m-1",'
        b'"at":1000.5,"offsets":[1,2],"keys":["k1","k2"],"ends":"ad","references":["usage_1",""],"digests":[7,14]'
    )
    found = decode(plain + b"}")
    assert found is not None
    assert (found.offsets, found.ends, found.undebited) == ([1, 2], "ad", {})
    found = decode(plain + b',"undebited":{"0":"no_active_purchase"},"from_a_later_version":true}')
    assert found is not None
    assert found.undebited == {"0": "no_active_purchase"}
