"""What the worker may rely on at its Kafka edges, for the fakes and for the real broker alike."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator

import pytest

from meter.committer import Committer
from meter.errors import LostRange, RecordTooLarge, Redelivered
from meter.pipeline.start import Bounds, Committed
from tests.contract.kafka_worlds import Member, World, WorldInMemory, WorldOnKafka
from tests.waiting import eventually


@pytest.fixture(params=["in memory", "on kafka"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A topic with two partitions, its receipts and dead letters, and one group."""
    made: World
    if request.param == "in memory":
        made = WorldInMemory()
    else:
        made = await WorldOnKafka(request.getfixturevalue("broker").bootstrap_servers).open()
    yield made
    await made.close()


@pytest.fixture
async def member(world: World) -> Member:
    """The group's only member, holding both partitions."""
    joined = await Member(world.source()).join()
    await joined.until([0, 1])
    return joined


# Records in


async def test_records_come_in_the_order_of_their_offsets(world: World, member: Member) -> None:
    """Key, value and headers as they were produced, offsets ascending, timestamps in milliseconds."""
    await world.produce(0, [b"a", b"b", b"c"])
    member.source.resume([0, 1])
    assert await member.values(3) == [b"a", b"b", b"c"]
    partition, record = member.records[0]
    assert (partition, record.offset, record.key, list(record.headers)) == (0, 0, b"key", [("name", b"content")])
    assert [record.offset for _, record in member.records] == [0, 1, 2]
    assert abs(record.timestamp / 1000 - time.time()) < 60


async def test_a_poll_takes_no_more_than_it_asked_for(world: World, member: Member) -> None:
    """`max_records` is a bound over all partitions; the rest comes with the next poll."""
    await world.produce(0, [b"%d" % number for number in range(7)])
    member.source.resume([0])
    sizes: list[int] = []
    while sum(sizes) < 7:
        sizes += [len(records) for records in (await member.source.poll(3, 1.0)).values()]
    assert max(sizes) == 3


async def test_an_assigned_partition_is_silent_until_it_is_resumed(world: World, member: Member) -> None:
    """The worker fills its window first."""
    await world.produce(0, [b"a"])
    await world.produce(1, [b"b"])
    member.source.resume([1])
    assert await member.values(1) == [b"b"]
    member.source.resume([0])
    assert await member.values(2) == [b"b", b"a"]


async def test_a_paused_partition_is_silent_while_others_go_on(world: World, member: Member) -> None:
    """At a bound of memory one partition waits, polling goes on."""
    member.source.resume([0, 1])
    member.source.pause([0])
    await world.produce(0, [b"waits"])
    await world.produce(1, [b"goes on"])
    assert await member.values(1) == [b"goes on"]


async def test_a_sought_partition_goes_on_from_there(world: World, member: Member) -> None:
    """Also back to what was read before."""
    await world.produce(0, [b"a", b"b"])
    member.source.resume([0])
    await member.values(2)
    member.source.seek(0, 1)
    assert await member.values(3) == [b"a", b"b", b"b"]


async def test_the_position_passes_a_transaction_marker(world: World, member: Member) -> None:
    """C7: the log ends in a marker, and the consumer's own position reaches the end all the same."""
    await world.end_a_transaction(0)
    member.source.resume([0])
    assert await member.values(1) == [b"transacted"]

    async def at_the_end() -> bool:
        await member.poll()
        return await member.source.position(0) == (await member.source.bounds([0]))[0].end == 2

    await eventually(at_the_end, 60, "the position is at the end")


async def test_a_position_out_of_retention_is_said_until_it_is_sought(world: World, member: Member) -> None:
    """S5: never silent, and other partitions are not lost over it."""
    await world.produce(0, [b"a", b"b", b"c"])
    await world.expire(0, 2)
    member.source.resume([0])
    for _ in range(2):
        with pytest.raises(LostRange) as lost:
            await eventually(lambda: member.poll(), 60, "an error")
        assert lost.value.positions == {0: 0}
    assert await member.source.bounds([0, 1]) == {0: Bounds(2, 3), 1: Bounds(0, 0)}
    member.source.seek(0, 2)
    assert await member.values(1) == [b"c"]


async def test_offsets_are_found_by_time(world: World, member: Member) -> None:
    """The first record at or after the time; the end when there is none."""
    await world.produce(0, [b"a"])
    between = time.time() + 0.01
    await eventually(lambda: time.time() > between + 0.01, 60, "another moment")
    await world.produce(0, [b"b"])
    assert await member.source.offsets_at([0, 1], between) == {0: 1, 1: 0}
    assert await member.source.offsets_at([0], time.time() + 60) == {0: 2}


async def test_the_oldest_record_has_a_time(world: World, member: Member) -> None:
    """Of all partitions; a topic without records has none."""
    assert await member.source.oldest_at([0, 1]) is None
    await world.produce(1, [b"a", b"b"])
    oldest = await member.source.oldest_at([0, 1])
    assert oldest is not None
    assert abs(oldest - time.time()) < 60
    await world.expire(1, 2)
    assert await member.source.oldest_at([0, 1]) is None


async def test_the_source_says_where_it_reads(member: Member) -> None:
    """The cluster's id is part of an event's identity; the partitions are counted anew at every call."""
    assert member.source.cluster_id
    assert await member.source.partition_count() == 2


# Commits out


async def test_commits_are_read_back_with_their_metadata(member: Member) -> None:
    """A partition without a commit is absent."""
    await member.source.commit({0: Committed(7, '{"note": "é"}')})
    assert await member.source.committed([0, 1]) == {0: Committed(7, '{"note": "é"}')}
    assert await member.source.committed([]) == {}


async def test_what_became_of_a_commit_that_was_given_up_can_be_read_back(member: Member) -> None:
    """C5: it may have been applied or not, nothing else; the next one goes on from there, and never below."""
    committer = Committer(member.source)
    await committer.commit({0: Committed(3, "before"), 1: Committed(9, "")})
    given_up = asyncio.ensure_future(committer.commit({0: Committed(5, "given up"), 1: Committed(9, "")}))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait((given_up,))
    assert (await member.source.committed([0]))[0] in {Committed(3, "before"), Committed(5, "given up")}
    await committer.commit({0: Committed(7, "after"), 1: Committed(4, "")})
    assert await member.source.committed([0, 1]) == {0: Committed(7, "after"), 1: Committed(9, "")}


async def test_a_commit_for_a_partition_of_somebody_else_is_refused(member: Member) -> None:
    """Its events come again to whoever has it."""
    with pytest.raises(Redelivered):
        await member.source.commit({5: Committed(1, "")})


async def test_a_commit_of_somebody_who_was_thrown_out_is_refused(world: World, member: Member) -> None:
    """The member notices, gives back what it had, and joins again."""
    await world.evict(member.source)
    member.told.clear()
    with pytest.raises(Redelivered):
        await member.source.commit({0: Committed(1, "")})
    await member.until([0, 1])
    assert member.told[0] == ("revoked", frozenset({0, 1}))
    assert await member.source.committed([0]) == {}
    await member.source.commit({0: Committed(2, "")})


async def test_nobody_commits_while_giving_back_what_is_lost(world: World, member: Member) -> None:
    """The group is empty then, and the broker takes commits from anybody: a lease must not grow out of that."""
    member.last_commit = Committed(1, "")
    await world.evict(member.source)
    with pytest.raises(Redelivered):
        await member.source.commit({0: Committed(1, "")})
    await member.until([0, 1])
    assert member.last_commit_was == "refused"
    assert await member.source.committed([0, 1]) == {}


async def test_the_last_commit_is_made_while_giving_back(world: World, member: Member) -> None:
    """A member that was not thrown out still commits during the rebalance."""
    member.last_commit = Committed(1, "")
    await Member(world.source()).join()
    await eventually(lambda: member.last_commit_was, 60, "a rebalance")
    assert member.last_commit_was == "accepted"


async def test_no_commit_is_under_way_after_giving_back(world: World) -> None:
    """C6: one that the group has not answered until then is withdrawn, and is told to be nobody's any more."""
    gate = await world.gate()
    member = await Member(world.source()).join()
    await member.until([0, 1])
    commits: list[asyncio.Task[None]] = []

    async def commit_without_an_answer() -> None:
        member.while_revoked = None
        gate.hold_commits()
        commits.append(asyncio.create_task(member.source.commit({0: Committed(1, "")})))
        await eventually(lambda: gate.held_commits, 60, "a commit is under way")

    member.while_revoked = commit_without_an_answer
    other = await Member(world.source()).join()
    await eventually(lambda: commits, 60, "a rebalance")
    with pytest.raises(Redelivered):
        await commits[0]
    gate.let_commits_pass()

    async def shared() -> bool:
        await asyncio.gather(member.poll(), other.poll())
        return len(member.assigned) == len(other.assigned) == 1

    await eventually(shared, 60, "one partition each")
    (mine,) = member.assigned
    await member.source.commit({mine: Committed(2, "")})
    assert await member.source.committed([mine]) == {mine: Committed(2, "")}


# Membership


async def test_members_share_the_partitions_and_inherit_from_those_who_leave(world: World, member: Member) -> None:
    """A partition is revoked before somebody else has it; who takes over starts at the commit."""
    await world.produce(0, [b"done", b"next"])
    await member.source.commit({0: Committed(1, "")})
    other = await Member(world.source()).join()

    async def shared() -> bool:
        await asyncio.gather(member.poll(), other.poll())
        return len(member.assigned) == len(other.assigned) == 1

    await eventually(shared, 60, "one partition each")
    assert member.told[-2] == ("revoked", frozenset({0, 1}))
    await member.source.close()
    await other.until([0, 1])
    other.source.resume([0])
    assert await other.values(1) == [b"next"]


async def test_a_rebalance_pauses_what_it_assigns(world: World, member: Member) -> None:
    """M11: paused before somebody can poll, also what was running before."""
    member.source.resume([0, 1])
    other = await Member(world.source()).join()

    async def shared() -> bool:
        await asyncio.gather(member.poll(), other.poll())
        return len(member.assigned) == 1 and len(other.assigned) == 1

    await eventually(shared, 60, "one partition each")
    await world.produce(0, [b"waits"])
    await world.produce(1, [b"waits"])
    await member.poll(0.5)
    assert member.records == []
    member.source.resume(member.assigned)
    assert await member.values(1) == [b"waits"]


async def test_what_a_listener_raises_is_raised_by_poll(world: World) -> None:
    """M10: the main loop sees it."""
    member = Member(world.source())
    member.fault = ZeroDivisionError("of the listener")
    await member.join()
    with pytest.raises(ZeroDivisionError, match="of the listener"):
        await member.until([0, 1])


async def test_pausing_what_is_not_ours_is_no_error_but_seeking_is(member: Member) -> None:
    """A rebalance may be faster than the worker."""
    member.source.pause([9])
    member.source.resume([9])
    with pytest.raises(Redelivered):
        member.source.seek(9, 0)
    with pytest.raises(Redelivered):
        await member.source.position(9)


async def test_closing_twice_is_harmless(member: Member) -> None:
    """It never raises."""
    await member.source.close()
    await member.source.close()


# Receipts


async def test_receipts_are_read_back_from_any_offset(world: World) -> None:
    """In their order, per partition; beyond the end there is nothing."""
    assert [await world.receipts.write(1, b"%d" % number) for number in range(3)] == [0, 1, 2]
    assert await read(world, 1, 0) == [(0, b"0"), (1, b"1"), (2, b"2")]
    assert await read(world, 1, 2) == [(2, b"2")]
    assert await read(world, 1, 3) == []
    assert await read(world, 0, 0) == []
    assert await world.receipts.end(1) == 3


async def test_reading_receipts_ends_at_a_transaction_marker(world: World) -> None:
    """The tail need not be a record."""
    await world.receipts.write(0, b"receipt")
    await world.end_a_transaction(0)
    assert await read(world, 0, 0) == [(0, b"receipt"), (1, b"transacted")]
    assert await read(world, 0, 2) == []


async def test_receipts_are_found_by_time(world: World) -> None:
    """The window goes back by time."""
    await world.receipts.write(0, b"receipt")
    assert await world.receipts.offset_at(0, time.time() - 60) == 0
    assert await world.receipts.offset_at(0, time.time() + 60) == 1


async def test_a_receipt_that_is_too_large_harms_no_other(world: World) -> None:
    """W5: it is said at once, and the ones beside it and after it are written."""
    results = await asyncio.gather(
        world.receipts.write(0, b"before"),
        world.receipts.write(0, b"x" * 2_000_000),
        world.receipts.write(0, b"beside"),
        return_exceptions=True,
    )
    assert isinstance(results[1], RecordTooLarge)
    await world.receipts.write(0, b"after")
    assert {value for _, value in await read(world, 0, 0)} == {b"before", b"beside", b"after"}


async def read(world: World, partition: int, start: int) -> list[tuple[int, bytes]]:
    return [entry async for chunk in world.receipts.read(partition, start) for entry in chunk]


# Dead letters


async def test_a_dead_letter_keeps_key_value_and_headers(world: World) -> None:
    """What fits is not touched; a record with neither key nor value is kept as an empty one."""
    await world.dead_letters.write(b"key", b"value", [("foreign", b"1"), ("meter-reason", b"expired")])
    await world.dead_letters.write(None, None, [("meter-reason", b"invalid:empty")])
    first, second = sorted(await world.letters(), key=lambda letter: letter.key is None)
    assert (first.key, first.value) == (b"key", b"value")
    assert list(first.headers) == [("foreign", b"1"), ("meter-reason", b"expired")]
    assert not second.value


async def test_a_dead_letter_that_does_not_fit_loses_its_value_first(world: World) -> None:
    """L5: key and headers stay, and `meter-truncated` says what is gone."""
    value = b"v" * 1_048_000
    await world.dead_letters.write(b"key", value, [("foreign", b"h" * 2000), ("meter-reason", b"expired")])
    (letter,) = await world.letters()
    headers = dict(letter.headers)
    assert (letter.key, letter.value, headers["foreign"]) == (b"key", b"", b"h" * 2000)
    assert json.loads(headers["meter-truncated"]) == {
        "value_bytes": len(value),
        "sha256": hashlib.sha256(value).hexdigest(),
    }


async def test_a_dead_letter_shrinks_to_what_meter_says_of_it(world: World) -> None:
    """L5: foreign headers go next, the key last, our own headers never."""
    await world.dead_letters.write(
        b"k" * 1_200_000, b"value", [("foreign", b"h" * 1_200_000), ("meter-origin", b"usage:0:7")]
    )
    (letter,) = await world.letters()
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (None, b"")
    assert headers.keys() == {"meter-origin", "meter-truncated"}
    assert json.loads(headers["meter-truncated"])["key_bytes"] == 1_200_000
