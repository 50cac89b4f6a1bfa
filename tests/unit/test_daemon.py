"""One membership after the other, and the end: whatever Kafka does, nothing is lost, billed twice or left behind."""

import asyncio

import pytest
from structlog.testing import capture_logs

from meter.errors import NoStartingPoint
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.refusals import PROBE_SECONDS
from tests.fakes import Fault
from tests.shell import LIMIT_SECONDS, TOPIC, Process

# A membership that fails


async def test_when_kafka_fails_in_the_middle_a_new_membership_goes_on() -> None:
    """The request under way is cut, its key waits until nobody can be inserting it, and nothing is billed twice."""
    meter = Process()
    meter.produce("a")
    async with meter.running():
        await _held_back(meter)
        meter.cluster.faults.fail("poll")
        await meter.until(lambda: meter.standing.worker and meter.standing.worker.last_step_at is None, "it has failed")
        meter.turn(2.1)
        await meter.until(lambda: meter.machine.counts.released == 1, "released")
        meter.billing.open.set()
        await meter.ended()
    assert meter.billing.collisions == []
    assert meter.events == {"consumed": 2, "released": 1, "accepted": 1}
    assert len(meter.sources) == 2


async def test_after_a_failure_the_group_is_left_only_when_nobody_can_be_inserting() -> None:
    """M6: another replica takes over as soon as we leave, and may send at once."""
    meter = Process()
    meter.produce("a")
    async with meter.running():
        await _held_back(meter)
        meter.cluster.faults.fail("poll")
        await meter.until(lambda: meter.standing.worker and meter.standing.worker.last_step_at is None, "it has failed")
        assert meter.sources[0] in meter.group.members
        meter.turn(2.1)
        await meter.until(lambda: meter.sources[0] not in meter.group.members, "left")
        meter.billing.open.set()


async def test_what_was_about_to_begin_when_kafka_failed_does_not_count_as_under_way_for_ever() -> None:
    """A request, a receipt, a commit that were cancelled before their first step: each is answered for."""
    meter = Process()
    meter.produce(*"abcdef")
    async with meter.running():
        for _ in range(5):
            await meter.joined()
            meter.produce("x", "y", partition=1)
            meter.cluster.faults.fail("poll")
            await meter.until(lambda: meter.standing.worker is None, "failed")
            meter.turn(2.1)
        await meter.ended()
    assert meter.billing.collisions == []


async def test_a_listeners_fault_ends_the_process() -> None:
    """M10: what nobody planned for is not swallowed by the client, nor hidden behind later failures."""
    meter = Process()
    meter.cluster.faults.fail("bounds", error=ZeroDivisionError("in the listener"))  # type: ignore[arg-type]  # unplanned
    with pytest.raises(ZeroDivisionError, match="in the listener"):
        async with meter.running() as task:
            await meter.until(task.done, "ended")


async def test_a_failure_of_kafka_while_taking_over_is_waited_out() -> None:
    """The assignment that could not be completed is given back, and taken anew."""
    meter = Process()
    meter.produce("a")
    meter.cluster.faults.fail("committed")
    async with meter.running():
        await meter.ended()
    assert meter.events == {"consumed": 1, "accepted": 1}


async def test_the_same_trouble_is_said_once() -> None:
    """Kafka away for an hour is one line, not thousands; `/readyz` has the reason all the time."""
    meter = Process()
    meter.cluster.faults.fail("connect", times=3)
    with capture_logs() as lines:
        async with meter.running():
            await meter.until(lambda: meter.standing.kafka_trouble == "scripted: connect fails", "the reason")
            assert "kafka: scripted: connect fails" in meter.standing.reasons()
            await meter.joined()
    assert [line["event"] for line in lines].count("kafka.waiting") == 1


# Where to start


async def test_a_new_group_on_a_topic_with_records_is_refused_with_their_number_and_age() -> None:
    """One sentence, and nothing is committed."""
    meter = Process(start_from="refuse")
    meter.produce("a", "b")
    meter.turn(3 * 3600.0)
    with pytest.raises(NoStartingPoint, match=r"2 records.*3 hours.*earliest.*latest"):
        async with meter.running() as task:
            await meter.until(task.done, "refused")
    assert meter.group.commits == {}


async def test_a_lost_range_is_counted_and_passed() -> None:
    """S5: a position that fell out of retention while meter was reading; it goes on at the log's start."""
    meter = Process()
    async with meter.running():
        await meter.joined()
        meter.cluster.log(TOPIC, 0).end = 10
        meter.cluster.log(TOPIC, 0).expire(10)
        meter.produce("a")
        await meter.ended()
    assert meter.machine.counts.lost_records == 10
    assert meter.events == {"consumed": 1, "accepted": 1}


async def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    """Its offsets start again below our position: they are not taken for records that were handled."""
    meter = Process()
    meter.produce(*"abcde")
    async with meter.running():
        await meter.ended()
        log = meter.cluster.log(TOPIC, 0)
        log.records.clear()
        log.end = 0
        meter.produce("f", "g")
        await meter.until(lambda: {"f", "g"} <= meter.billing.rows.keys(), "billed")
        await meter.ended()
    assert (meter.machine.counts.lost_records, meter.machine.counts.cut_logs) == (0, 1)


# Stopping


async def test_a_stop_ends_everything_held() -> None:
    """Billed, receipted, committed; then the group is left, without waiting for a batch to fill or to age."""
    meter = Process(batch=BatchLimits(1000, 100_000, 3600.0))
    meter.produce("a", "b", partition=0)
    meter.produce("c", partition=1)
    async with meter.running():
        await meter.until(lambda: meter.machine.counts.held == 3, "held")
        assert meter.billing.rows == {}
    assert meter.billing.rows.keys() == {"a", "b", "c"}
    assert (meter.committed(0), meter.committed(1)) == (2, 1)
    assert meter.group.members == []
    assert meter.events == {"consumed": 3, "accepted": 3}


async def test_a_stop_while_connecting_does_not_wait_for_kafka() -> None:
    """Neither for the connection nor for the group."""
    for slow in ("connect", "start"):
        meter = Process()
        meter.cluster.faults.hang(slow)
        async with asyncio.timeout(LIMIT_SECONDS), meter.running():
            await meter.turns()


async def test_a_stop_while_waiting_to_connect_again_ends_at_once() -> None:
    """The pause between two tries is no reason to stay."""
    meter = Process()
    meter.cluster.faults.fail("connect", times=1000)
    async with asyncio.timeout(LIMIT_SECONDS), meter.running():
        await meter.until(lambda: meter.standing.kafka_trouble == "scripted: connect fails", "waiting")


async def test_a_stop_gives_up_when_the_provider_refuses_us() -> None:
    """A wrong key is not mended within the drain: what is held is released and comes again, now."""
    meter = Process()
    meter.drain_timeout_seconds = 10 * LIMIT_SECONDS
    meter.billing.faults = [Fault("status", status=401)] * 100
    meter.produce("a")
    async with asyncio.timeout(LIMIT_SECONDS), meter.running():
        await meter.until(lambda: meter.machine.gate.paused, "paused")
    assert meter.committed() == 0
    assert meter.events == {"consumed": 1, "released": 1}


async def test_a_stop_gives_up_when_all_that_is_left_was_refused() -> None:
    """Only the acceptance of a new event could tell whose fault that is, and none comes any more."""
    meter = Process()
    meter.drain_timeout_seconds = PROBE_SECONDS - 1  # so that none is tried again before
    meter.billing.refused_customers = {"cus_1"}
    meter.produce("a")
    async with asyncio.timeout(PROBE_SECONDS - 5), meter.running():
        await meter.until(lambda: len(meter.machine.refusals), "refused")
    assert meter.committed() == 0
    assert meter.events == {"consumed": 1, "released": 1}


async def test_a_stop_waits_for_a_refused_event_that_is_tried_again() -> None:
    """Of a customer who may be created yet."""
    meter = Process()
    meter.billing.faults = [Fault("status", status=404, message="Customer not found")]
    meter.produce("a")
    async with meter.running():
        await meter.until(lambda: len(meter.machine.refusals), "refused")
    assert meter.billing.rows.keys() == {"a"}
    assert meter.events == {"consumed": 1, "accepted": 1}


async def test_a_stop_does_not_take_longer_than_the_drain_timeout() -> None:
    """The provider is away; what is held is released."""
    meter = Process()
    meter.drain_timeout_seconds = 0.2
    meter.billing.faults = [Fault("status", status=503)] * 20_000
    meter.produce("a")
    async with asyncio.timeout(LIMIT_SECONDS), meter.running():
        await meter.until(lambda: meter.machine.gate.state() == "retrying", "failing")
    assert meter.events == {"consumed": 1, "released": 1}


async def test_a_stop_during_a_hand_over_commits_once() -> None:
    """The group's wish and our own at the same time: one last commit, and an orderly end."""
    meter = Process()
    meter.produce("a")
    async with meter.running():
        await _held_back(meter)
        meter.group.rebalance()
        await meter.turns()
        meter.stop.set()
        await meter.turns()
        meter.billing.open.set()
    assert meter.committed() == 1
    assert meter.group.members == []
    assert meter.events == {"consumed": 1, "accepted": 1}


async def test_nothing_is_taken_over_while_leaving() -> None:
    """An assignment that comes in when the drain is over begins nothing."""
    meter = Process()
    async with meter.running():
        await meter.joined()
        meter.cluster.faults.hang("partition_count")
        meter.group.rebalance()
        await meter.until(lambda: not meter.machine.assignment.partitions(), "revoked")
        await meter.turns()
        with capture_logs() as lines:
            meter.stop.set()
            meter.cluster.faults.release()
            await meter.until(lambda: not meter.group.members, "left")
    assert "partitions.assigned" not in [line["event"] for line in lines]


async def _held_back(meter: Process) -> None:
    """One request has arrived at the provider, which takes its time."""
    meter.billing.open.clear()
    await meter.until(lambda: meter.billing.requests_total == 1, "a request is under way")
