"""The window's memory: what is put in is found until it is overwritten, wherever it stands."""

import numpy as np
import pytest

from meter.pipeline.ring import Fingerprints, Ring

CAPACITY = 64


def ids(*numbers: int) -> Fingerprints:
    """Fingerprints that all belong into the first bucket and differ in their tags."""
    return np.array(numbers, np.uint64)


def found(ring: Ring, fingerprints: Fingerprints, cutoff: int = 0) -> dict[int, int]:
    """Fingerprint -> digest."""
    asked, digests = ring.find(fingerprints, cutoff)
    return dict(zip(fingerprints[asked].tolist(), digests.tolist(), strict=True))


def put(ring: Ring, fingerprints: Fingerprints) -> None:
    """Each with itself as its digest."""
    ring.add(fingerprints, fingerprints.astype(np.uint32))


def test_many_ids_of_one_bucket_are_all_found() -> None:
    """A full bucket loses nobody: forty ids that belong into the same sixteen slots are found, put in at once."""
    ring, forty = Ring(CAPACITY), ids(*range(1, 41))
    put(ring, forty)
    assert found(ring, forty) == {number: number for number in range(1, 41)}
    assert found(ring, ids(41, 99)) == {}


def test_an_overwritten_id_is_gone_and_its_slot_free() -> None:
    """After any number of turns just the last ids are found, also of a bucket that has been over-full all the time."""
    ring = Ring(CAPACITY)
    for first in range(1, 1000, 10):
        put(ring, ids(*range(first, first + 10)))
        last = range(max(1, first + 10 - CAPACITY), first + 10)
        assert found(ring, ids(*range(1, first + 10))) == {number: number for number in last}


def test_ids_with_the_same_tag_are_told_apart() -> None:
    """The few bits in the table only guide the search: the whole id decides."""
    ring = Ring(CAPACITY)
    put(ring, ids(5, 5 + 2**16))
    assert found(ring, ids(5, 5 + 2**16, 5 + 2**17)) == {5: 5, 5 + 2**16: 5 + 2**16}


def test_an_id_without_tag_bits_is_found() -> None:
    """Whose lowest bits are all zero is no empty slot."""
    ring = Ring(CAPACITY)
    put(ring, ids(0, 2**16))
    assert found(ring, ids(0, 2**16, 2**17)) == {0: 0, 2**16: 2**16}


def test_below_the_cutoff_nothing_is_found() -> None:
    """What has left by age is not found, though it still stands in the table; the same id, put in again, is."""
    ring = Ring(CAPACITY)
    put(ring, ids(1, 2, 3))
    assert found(ring, ids(1, 2, 3), cutoff=2) == {3: 3}
    ring.add(ids(1), np.array([7], np.uint32))
    assert found(ring, ids(1, 2, 3), cutoff=3) == {1: 7}


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 17])
def test_the_smallest_rings_keep_as_many_as_they_promise(capacity: int) -> None:
    """More ids at once than there is room for: the last ones stay."""
    ring, many = Ring(capacity), np.random.default_rng(1).integers(1, 2**63, 50).astype(np.uint64)
    ring.add(many, np.arange(50, dtype=np.uint32))
    assert set(found(ring, many).values()) == set(range(50 - capacity, 50))
