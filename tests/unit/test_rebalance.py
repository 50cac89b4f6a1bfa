"""Taking partitions over and handing them on."""

import asyncio
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from meter.errors import NoStartingPoint, Replaced
from meter.pipeline.receipt import Receipt, encode
from meter.pipeline.start import Choice, CommitNote, Committed, decode_note, encode_note
from meter.rebalance import FILLS_AT_ONCE, RebalanceListener
from tests.builders import OWNER
from tests.records import as_json
from tests.shell import RECEIPTS, SESSION_SECONDS, TOPIC, Process, World

# Where partitions begin


async def test_every_partition_has_a_commit_before_its_first_record() -> None:
    """S3: an empty one too, with the choice that was made: later events are no reason to ask again."""
    meter = Process(start_from="refuse")
    async with meter.running():
        await meter.joined()
        assert (meter.committed(0), meter.committed(1)) == (0, 0)
    note = decode_note(meter.group.commits[1].metadata)
    assert note.choice is not None
    assert (note.choice.start_from, note.choice.partitions) == ("earliest", 2)


async def test_latest_begins_at_the_end_as_of_now() -> None:
    """What came before is not billed, what comes from now on is."""
    meter = Process(start_from="latest")
    meter.produce("before")
    meter.turn(1.0)
    async with meter.running():
        await meter.joined()
        meter.produce("after")
        await meter.ended()
    assert meter.billing.rows.keys() == {"after"}


async def test_a_choice_of_somebody_who_died_holds_as_of_its_time() -> None:
    """S2: partition 0 was committed with the choice, partition 1 was not."""
    meter = Process(start_from="refuse")
    meter.produce("before", partition=1)
    meter.turn(1.0)
    choice = Choice("latest", meter.clock.now().wall_seconds, 2)
    meter.group.commits[0] = Committed(0, encode_note(CommitNote(choice)))
    meter.turn(1.0)
    meter.produce("after", partition=1)
    async with meter.running():
        await meter.ended()
    assert meter.billing.rows.keys() == {"after"}


async def test_an_added_partition_begins_at_its_beginning() -> None:
    """S4: whatever the choice was, it was about the partitions that there were."""
    meter = Process(start_from="latest")
    async with meter.running():
        await meter.joined()
        for topic in (RECEIPTS, TOPIC):
            meter.cluster.create_topic(topic, 3)
        meter.produce("new", partition=2)
        await meter.ended()
    assert meter.billing.rows.keys() == {"new"}


async def test_a_commit_out_of_retention_is_loud() -> None:
    """S5: it goes on at the first record kept, and says how many are missing."""
    meter = Process()
    meter.produce("a", "b", "c")
    meter.group.commits[0] = Committed(0, encode_note(CommitNote(Choice("earliest", 0.0, 2))))
    meter.cluster.log(TOPIC, 0).expire(2)
    with capture_logs() as lines:
        async with meter.running():
            await meter.ended()
    assert meter.billing.rows.keys() == {"c"}
    assert meter.machine.counts.lost_records == 2
    assert [line["records"] for line in lines if line["event"] == "records.lost"] == [2]


async def test_a_log_that_lost_its_end_is_not_sent_again() -> None:
    """A replica that did not have all became leader: what is older than the last commit is passed over, what came after
    it is billed, and between them receipts tell what was handled. It is said loudly."""
    world = World()
    world.produce("old")
    world.turn(7200.0)
    world.produce("a", "b", "c")
    before, after = Process(world), Process(world)
    async with before.running():
        await before.ended()
    log = world.cluster.log(TOPIC, 0)
    del log.records[2:]
    log.end = 2
    world.produce("new")
    world.billing.rows.clear()
    with capture_logs() as lines:
        async with after.running():
            await after.ended()
    assert after.billing.rows.keys() == {"new"}
    assert after.events == {"consumed": 2, "duplicate": 1, "accepted": 1}
    told = {line["event"]: line for line in lines}["log.ends_below_commit"]
    assert (told["end"], told["goes_on_at"], told["passed_over"]) == (3, 1, 1)
    assert after.standing.status()["cut_logs"] == 1


async def test_what_is_read_again_of_a_log_that_lost_its_end_is_recognised_after_days() -> None:
    """The receipts of that time are read, and no older ones, however long meter was away: the window does not reach
    so far."""
    world = World()
    before, after = Process(world), Process(world)
    async with before.running():
        world.produce("long ago")
        await before.ended()
        world.turn(200_000.0)
        world.produce("a", "b", "c")
        await before.ended()
    log = world.cluster.log(TOPIC, 0)
    del log.records[3:]
    log.end = 3
    world.turn(200_000.0)
    world.billing.rows.clear()
    async with after.running():
        await after.ended()
    assert after.billing.rows == {}
    assert after.events == {"consumed": 2, "duplicate": 2}
    assert (0, 1) in after.receipt_log.read_from


async def test_a_group_whose_offsets_have_expired_is_refused_and_does_not_begin_anew() -> None:
    """L8: after a long stop the broker has forgotten the commits: nobody bills the whole retention once more."""
    world = World()
    world.produce("a", "b")
    before, after = Process(world), Process(world, start_from="refuse")
    async with before.running():
        await before.ended()
    world.group.commits.clear()
    with pytest.raises(NoStartingPoint, match="set kafka"):
        async with after.running() as task:
            await after.until(task.done, "refused")
    assert after.machine.counts.consumed == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(30, "30 seconds old"), (150, "2 minutes old"), (90 * 60, "90 minutes old"), (5 * 86_400, "5 days old")],
)
async def test_the_age_of_the_oldest_record_is_told_to_who_has_to_choose(seconds: float, words: str) -> None:
    """In words of a size that one can judge."""
    meter = Process(start_from="refuse")
    meter.produce("a")
    meter.turn(seconds)
    with pytest.raises(NoStartingPoint, match=words):
        async with meter.running() as task:
            await meter.until(task.done, "refused")


# The window


def listener_of(meter: Process) -> RebalanceListener:
    """The one in force."""
    assert meter.standing.worker is not None
    return meter.standing.worker.listener


def receipted_before(meter: Process, ids: int) -> None:
    """Receipts of a thousand ids each, in partition 0."""
    for first in range(0, ids, 1000):
        keys = [f"k{number}" for number in range(first, first + 1000)]
        offsets = list(range(first, first + 1000))
        at = meter.clock.now().wall_seconds
        receipt = Receipt(1, *OWNER, 0, "b", at, offsets, keys, "a" * 1000, [""] * 1000, [0] * 1000)
        meter.cluster.produce(RECEIPTS, encode(receipt), partition=0)


async def test_the_loop_turns_while_receipts_are_read() -> None:
    """Their ids are remembered in steps of a millisecond or two, however many receipts came from Kafka at once."""
    meter = Process(partitions=1, window_max_ids=100_000)
    receipted_before(meter, 50_000)
    seen = [0]
    async with meter.running():
        while seen[-1] < 50_000:
            await asyncio.sleep(0)
            seen.append(len(meter.machine.window))
    assert max(after - before for before, after in pairwise(seen)) <= 2000


async def test_no_record_comes_before_the_window_is_filled() -> None:
    """Its receipts cannot be read for a while: that is said once, and nothing is billed meanwhile."""
    meter = Process()
    meter.cluster.faults.fail("receipts.end", times=2)
    meter.produce("a")
    with capture_logs() as lines:
        async with meter.running():
            await meter.until(lambda: meter.standing.worker and meter.standing.worker.listener.joined, "joined")
            await meter.until(lambda: len(listener_of(meter).filling_waits) == 2, "both cannot be read")
            (reason,) = meter.standing.reasons()
            why = listener_of(meter).filling_waits[0]
            assert reason == f"window_filling: receipts are being read for partitions 0, 1: {why}"
            assert meter.machine.counts.consumed == 0
            await meter.ended()
            assert meter.standing.reasons() == []
    assert [line["event"] for line in lines].count("window.waits") == 2  # one for each partition
    assert meter.events == {"consumed": 1, "accepted": 1}


async def test_only_a_few_windows_are_read_at_a_time() -> None:
    """Each reader has a client of its own, which fetches ahead: memory is bounded however many partitions there are."""
    meter = Process(partitions=3 * FILLS_AT_ONCE)
    async with meter.running():
        await meter.joined()
        await meter.until(lambda: not meter.machine.assignment.unfilled(), "all are filled")
        assert meter.receipt_log.most_open == FILLS_AT_ONCE


async def test_a_window_that_stops_filling_leaves_no_reader_open() -> None:
    """Wherever it stands in what has been read: a reader is a connection to Kafka."""
    meter = Process(partitions=1, window_max_ids=100_000)
    receipted_before(meter, 50_000)
    async with meter.running():
        while not len(meter.machine.window):  # noqa: ASYNC110  # turn by turn: it is to be stopped in the middle
            await asyncio.sleep(0)
        listener = listener_of(meter)
        await listener.on_revoked(frozenset({0}))
        assert meter.receipt_log.open == 0


async def test_taking_over_has_one_deadline() -> None:
    """A commit at its end would give a lease that outlives a rebalance which began at its beginning."""
    meter = Process(assignment_seconds=0.05)
    meter.cluster.faults.hang("bounds")
    async with meter.running():
        await meter.until(lambda: "could not be taken over" in (meter.standing.kafka_trouble or ""), "it is given up")
        await meter.joined()
        meter.produce("a")
        await meter.ended()
    assert meter.events == {"consumed": 1, "accepted": 1}


async def test_a_window_that_a_limit_has_cut_off_is_told_of() -> None:
    """Complete, or as much as `dedupe.max_ids` allows: the log says which, and how far back it goes."""
    world = World(partitions=1)
    first = Process(world)
    async with first.running():
        world.produce(*[f"k{number}" for number in range(9)])
        await first.ended()
    second = Process(world, window_max_ids=4)
    world.turn(60.0)
    with capture_logs() as lines:
        async with second.running():
            await second.joined()
    (limited,) = [line for line in lines if line["event"] == "window.limited"]
    assert (limited["ids"], limited["log_level"]) == (4, "warning")
    assert 60 <= limited["reach_seconds"] < 90
    assert second.standing.readings().dedupe_ids == 4


async def test_receipts_of_a_newer_meter_are_left_out_and_told_of() -> None:
    """Somebody went back a version: what the newer one billed is left to the provider; the rest is recognised."""
    world = World(partitions=1)
    first = Process(world)
    async with first.running():
        world.produce("a")
        await first.ended()
    log = world.cluster.log(RECEIPTS, 0)
    log.append(None, as_json({"v": 2, "columns": "others"}), (), int(world.clock.now().wall_seconds * 1000))
    second = Process(world)
    world.produce("a", "b")
    with capture_logs() as lines:
        async with second.running():
            await second.ended()
    assert [line["receipts"] for line in lines if line["event"] == "window.newer_receipts"] == [1]
    assert second.events == {"consumed": 2, "accepted": 1, "duplicate": 1}


# Several members


async def test_two_members_bill_everything_once() -> None:
    """One joins while the other is at work, and later leaves."""
    world = World(partitions=4)
    first, second = Process(world), Process(world)
    keys = [f"k{number}" for number in range(200)]
    async with first.running():
        await first.joined()
        for number, key in enumerate(keys[:100]):
            world.produce(key, partition=number % 4)
        async with second.running():
            await second.joined()
            for number, key in enumerate(keys[100:]):
                world.produce(key, partition=number % 4)
            await second.ended()
        await first.until(lambda: len(first.machine.assignment.partitions()) == 4, "has them all")
    assert world.billing.rows.keys() == set(keys)
    assert world.billing.collisions == []
    assert world.billing.duplicates_total == 0
    assert second.machine.counts.consumed > 0


async def test_a_member_without_partitions_is_ready() -> None:
    """More replicas than partitions: the spare one waits for its turn and says so to nobody."""
    world = World(partitions=1)
    first, second = Process(world), Process(world)
    async with first.running():
        await first.joined()
        async with second.running():
            await first.until(lambda: not second.standing.reasons(), "the second one is ready")
            await first.until(lambda: not first.standing.reasons(), "so is the first one, again")
            assert len(first.machine.assignment.partitions()) + len(second.machine.assignment.partitions()) == 1


async def test_a_hand_over_does_not_wait_for_ever() -> None:
    """A provider that never answers costs its limit; then the partition goes on to somebody else."""
    meter = Process()
    meter.billing.open.clear()
    meter.produce("a")
    async with meter.running():
        await meter.until(lambda: meter.billing.requests_total, "a request is under way")
        generation = meter.group.generation
        with capture_logs() as lines:
            meter.group.rebalance()
            await meter.turns()
            meter.turn(12.1)
            await meter.until(lambda: meter.group.generation > generation, "the rebalance goes on")
        assert [line["log_level"] for line in lines if line["event"] == "hand_over.incomplete"] == ["warning"]
        meter.billing.open.set()
        await meter.ended()
    assert meter.events == {"consumed": 2, "released": 1, "duplicate": 1}


# Members with a lasting name


async def test_a_replacement_sends_nothing_for_a_session_and_the_replaced_one_ends() -> None:
    """M7: the old one was not heard to give its partitions back, and may still be sending."""
    world = World()
    old, new = Process(world, instance_id="meter-0"), Process(world, instance_id="meter-0")
    world.billing.open.clear()
    world.produce("a")
    with pytest.raises(Replaced, match="meter-0"):
        await replace(world, old, new)
    assert world.billing.rows.keys() == {"a"}
    assert world.billing.collisions == []


async def replace(world: World, old: Process, new: Process) -> None:
    """The new one takes the place of an old one that has a request under way."""
    async with old.running() as task:
        await old.until(lambda: world.billing.requests_total == 1, "a request of the old one is under way")
        async with new.running():
            await new.until(lambda: new.machine.counts.held == 1, "the new one has the event, too")
            assert [reason.split(":")[0] for reason in new.standing.reasons()] == ["taking_over"]
            world.turn(SESSION_SECONDS - 0.5)
            await world.turns()
            assert world.billing.requests_total == 1
            world.billing.open.set()
            await new.ended()
        await new.until(task.done, "the old one has ended")


async def test_a_replacement_of_one_that_left_in_order_sends_at_once() -> None:
    """Its last commit says that nothing of its is under way."""
    world = World()
    old, new = Process(world, instance_id="meter-0"), Process(world, instance_id="meter-0")
    async with old.running():
        await old.joined()
    assert all(decode_note(commit.metadata).given_back for commit in world.group.commits.values())
    world.produce("a")
    async with new.running():
        await new.joined()
        assert not any(decode_note(commit.metadata).given_back for commit in world.group.commits.values())
        await new.until(lambda: "a" in world.billing.rows, "billed")


async def test_who_leaves_before_its_own_wait_is_over_gives_nothing_back() -> None:
    """Else the third one would send while the first one still may."""
    world = World()
    world.group.commits[0] = Committed(0, encode_note(CommitNote(Choice("earliest", 0.0, 2))))
    second = Process(world, instance_id="meter-0")
    async with second.running():
        await second.until(lambda: second.machine.assignment.partitions(), "it has the partitions")
    assert not any(decode_note(commit.metadata).given_back for commit in world.group.commits.values())
