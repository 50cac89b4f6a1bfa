"""The trouble that the Kafka in memory makes on demand; what it does without trouble is in the contract."""

import asyncio
from collections.abc import Mapping

import pytest

from meter.errors import LostRange, Redelivered, Unavailable
from meter.pipeline.start import Committed
from tests.contract.kafka_worlds import Member
from tests.kafka_fakes import FakeCluster, FakeSource
from tests.topic_fakes import FakeReceipts
from tests.waiting import eventually


@pytest.fixture
def cluster() -> FakeCluster:
    """A source topic and its receipts, two partitions each."""
    made = FakeCluster()
    made.create_topic("usage", 2)
    made.create_topic("receipts", 2)
    return made


async def member_of(cluster: FakeCluster) -> Member:
    member = await Member(FakeSource(cluster, "usage")).join()
    await member.until([0, 1])
    return member


async def test_a_failing_operation_has_no_effect(cluster: FakeCluster) -> None:
    """As often as it was asked for; then it works again."""
    receipts = FakeReceipts(cluster, "receipts")
    cluster.faults.fail("receipts.write", times=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await receipts.write(0, b"receipt")
    assert await receipts.write(0, b"receipt") == 0


async def test_a_lost_answer_has_its_effect(cluster: FakeCluster) -> None:
    """C5: the outcome is unknown to the caller, and it was accepted."""
    member = await member_of(cluster)
    cluster.faults.lose("commit")
    with pytest.raises(Unavailable):
        await member.source.commit({0: Committed(5, "")})
    assert await committed(member) == {0: Committed(5, "")}


async def committed(member: Member) -> Mapping[int, Committed]:
    return await member.source.committed([0, 1])


async def test_what_hangs_goes_on_when_it_is_released(cluster: FakeCluster) -> None:
    """A test decides what happens meanwhile."""
    receipts = FakeReceipts(cluster, "receipts")
    cluster.faults.hang("receipts.write")
    slow = asyncio.ensure_future(receipts.write(0, b"slow"))
    fast = asyncio.ensure_future(receipts.write(0, b"fast"))
    assert await fast == 0
    assert not slow.done()
    cluster.faults.release()
    assert await slow == 1


async def test_nobody_reaches_a_cluster_that_is_down(cluster: FakeCluster) -> None:
    """Polling goes on and brings nothing; everything else says so."""
    member = await member_of(cluster)
    member.source.resume([0, 1])
    cluster.produce("usage", b"event", partition=0)
    cluster.down = True
    assert await member.source.poll(10, 0.01) == {}
    with pytest.raises(Unavailable):
        await member.source.commit({0: Committed(0, "")})
    with pytest.raises(Unavailable):
        await FakeReceipts(cluster, "receipts").write(0, b"receipt")
    cluster.down = False
    assert await member.values(1) == [b"event"]


async def test_an_evicted_member_goes_on_until_it_notices(cluster: FakeCluster) -> None:
    """M1: it still reads what is no longer its own; a commit tells it."""
    member = await member_of(cluster)
    member.source.resume([0, 1])
    assert isinstance(member.source, FakeSource)
    cluster.group("usage").evict(member.source, notices=False)
    other = await member_of(cluster)
    cluster.produce("usage", b"event", partition=0)
    assert await member.values(1) == [b"event"]
    with pytest.raises(Redelivered):
        await member.source.commit({0: Committed(1, "")})
    await eventually(lambda: len(member.assigned) == len(other.assigned) == 1, 30, "both are members")


async def test_partitions_that_are_added_are_assigned(cluster: FakeCluster) -> None:
    """S4: while the daemon runs."""
    member = await member_of(cluster)
    cluster.create_topic("usage", 4)
    await member.until(range(4))


async def test_expired_records_are_a_lost_range(cluster: FakeCluster) -> None:
    """S5."""
    member = await member_of(cluster)
    cluster.produce("usage", b"event", partition=0)
    cluster.log("usage", 0).expire(1)
    member.source.resume([0])
    with pytest.raises(LostRange):
        await member.poll()
