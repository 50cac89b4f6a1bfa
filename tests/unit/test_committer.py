"""Commits, and what is done after one of which nobody knows what became of it."""

import asyncio

import pytest

from meter.committer import Committer
from meter.errors import Redelivered, Unavailable
from meter.pipeline.start import Committed
from tests.contract.kafka_worlds import Member
from tests.kafka_fakes import FakeCluster, FakeSource


class World:
    """The group's only member, which has committed 5 without hearing of it."""

    def __init__(self, read_back_seconds: float = 30.0) -> None:
        self.cluster = FakeCluster()
        self.cluster.create_topic("usage", 1)
        self.group = self.cluster.group("usage")
        self.source = FakeSource(self.cluster, "usage")
        self.committer = Committer(self.source, read_back_seconds)

    async def commit(self, offset: int) -> None:
        await self.committer.commit({0: Committed(offset, f"note {offset}")})

    async def open(self) -> "World":
        member = await Member(self.source).join()
        await member.until([0])
        self.cluster.faults.lose("commit")
        with pytest.raises(Unavailable):
            await self.commit(5)
        return self


async def test_after_an_unknown_outcome_the_next_commit_reads_back_first() -> None:
    """C5: no commit before that, and one look is enough."""
    world = await World().open()
    world.cluster.faults.fail("committed")
    with pytest.raises(Unavailable, match="committed fails"):
        await world.commit(7)
    assert world.group.commits[0].offset == 5
    await world.commit(7)
    world.cluster.faults.fail("committed", times=100)
    await world.commit(8)
    assert world.group.commits[0] == Committed(8, "note 8")


async def test_a_commit_never_goes_below_what_the_group_has() -> None:
    """C5: somebody has committed further meanwhile; that stays, note and all, for as long as ours is lower."""
    world = await World().open()
    world.group.commits[0] = Committed(9, "theirs")
    for offset in (7, 8):
        await world.commit(offset)
        assert world.group.commits[0] == Committed(9, "theirs")
    await world.commit(9)
    assert world.group.commits[0] == Committed(9, "note 9")


async def test_a_refused_commit_is_read_back_as_well() -> None:
    """What was on its way when the group threw us out may have been applied before that."""
    world = await World().open()
    world.cluster.faults.fail("commit", error=Redelivered("too late"))
    with pytest.raises(Redelivered):
        await world.commit(7)
    world.group.commits[0] = Committed(9, "theirs")
    await world.commit(8)
    assert world.group.commits[0].offset == 9


async def test_a_commit_that_was_cancelled_is_read_back() -> None:
    """Nobody knows what became of it either."""
    world = await World().open()
    await world.commit(6)
    given_up = asyncio.ensure_future(world.commit(7))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait((given_up,))
    world.group.commits[0] = Committed(9, "theirs")
    await world.commit(8)
    assert world.group.commits[0].offset == 9


async def test_reading_back_is_bounded() -> None:
    """A revocation has to end in time."""
    world = await World(read_back_seconds=0.01).open()
    world.cluster.faults.hang("committed")
    with pytest.raises(Unavailable, match="what became of the last commit"):
        await world.commit(7)


async def test_the_first_commit_of_an_assignment_may_go_back() -> None:
    """To the beginning of a log that was made anew; it was decided by what the group has."""
    world = await World().open()
    await world.commit(7)
    world.cluster.faults.fail("committed", times=100)
    await world.committer.begin({0: Committed(2, "")})
    await world.commit(3)
    assert world.group.commits[0].offset == 3


async def test_a_commit_of_an_assignment_that_is_over_is_not_sent() -> None:
    """C6: neither afterwards nor in the next assignment, whose generation it would bear, also when it was held up."""
    world = await World().open()
    world.cluster.faults.hang("committed")
    held_up = asyncio.ensure_future(world.commit(7))
    await asyncio.sleep(0)
    world.committer.end()
    with pytest.raises(Redelivered):
        await world.commit(8)
    await world.committer.begin({0: Committed(5, "")})
    world.cluster.faults.none()
    with pytest.raises(Redelivered):
        await held_up
    assert world.group.commits[0].offset == 5
    await world.commit(8)
    assert world.group.commits[0].offset == 8
