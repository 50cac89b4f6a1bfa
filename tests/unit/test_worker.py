"""The loop: what the machine says is done, whatever Kafka and the provider do meanwhile."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from meter.errors import RecordTooLarge
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.outcome import Outcome
from meter.pipeline.receipt import Owner
from meter.worker import RECORDS_PER_POLL
from tests.fake_log import Faults
from tests.fakes import Fault
from tests.shell import LETTERS, LIMIT_SECONDS, TOPIC, Process


async def test_an_event_is_billed_receipted_and_committed() -> None:
    """In this order, once; the books balance."""
    meter = Process()
    meter.produce("a", "b", partition=0)
    meter.produce("c", partition=1)
    async with meter.running():
        await meter.ended()
    assert meter.billing.rows.keys() == {"a", "b", "c"}
    assert (meter.receipted(0), meter.receipted(1)) == (["a", "b"], ["c"])
    assert meter.events == {"consumed": 3, "accepted": 3}


async def test_what_is_no_event_ends_in_the_dead_letters() -> None:
    """With its reason; the offset is committed after that."""
    meter = Process()
    meter.cluster.produce(TOPIC, b"no JSON", partition=0)
    async with meter.running():
        await meter.ended()
    (letter,) = [record for log in meter.cluster.topics[LETTERS] for record in log.records]
    assert letter.value == b"no JSON"
    assert dict(letter.headers)["meter-reason"].startswith(b"invalid")


# Rebalances


async def test_the_hand_over_waits_for_the_request_under_way() -> None:
    """M5: its answer is receipted and committed before the partition goes to somebody else."""
    meter = Process()
    meter.produce("a")
    async with meter.running():
        await _held_back(meter)
        meter.group.rebalance()
        await meter.turns()
        generation = meter.group.generation
        assert meter.committed() == 0
        meter.billing.open.set()
        await meter.until(lambda: meter.group.generation > generation, "the rebalance goes on")
        assert meter.committed() == 1
        await meter.joined()
    assert meter.receipted() == ["a"]
    assert meter.events == {"consumed": 1, "accepted": 1}


async def test_nothing_new_is_sent_during_a_hand_over() -> None:
    """It would make the hand-over last as long as there is work; what is held is released instead."""
    meter = Process(max_in_flight=1)
    meter.produce(*"abcdef")
    async with meter.running():
        await _held_back(meter)
        meter.group.rebalance()
        await meter.turns()
        meter.billing.open.set()
        await meter.ended()
    assert meter.events == {"consumed": 9, "released": 3, "accepted": 6}


async def test_an_event_delivered_again_waits_for_its_first_request() -> None:
    """M4: the hand-over ran out of time, the same process got the partition back: the key is never in flight twice,
    and the accepted original makes the other one a duplicate. M5: its receipt is written."""
    meter = Process(hand_over_seconds=0.0)
    meter.produce("a")
    async with meter.running():
        await _held_back(meter)
        meter.group.rebalance()
        await meter.until(lambda: meter.machine.counts.consumed == 2, "delivered again")
        await meter.turns()
        meter.billing.open.set()
        await meter.ended()
    assert meter.billing.collisions == []
    assert (meter.billing.requests_total, meter.billing.duplicates_total) == (1, 0)
    assert meter.receipts()[0].keys == ["a"]
    assert meter.events == {"consumed": 2, "released": 1, "duplicate": 1}


async def test_a_partition_is_not_handed_over_while_a_cut_request_may_still_be_inserted() -> None:
    """M6: two seconds after an unknown outcome, whoever is next may send."""
    meter = Process()
    meter.billing.faults = [Fault("cut_after_commit")]
    meter.produce("a")
    async with meter.running():
        await meter.until(lambda: meter.billing.rows, "inserted, and the answer is lost")
        generation = meter.group.generation
        meter.group.rebalance()
        await meter.turns()
        assert meter.group.generation == generation
        meter.turn(2.1)
        await meter.ended()
    assert meter.events == {"consumed": 2, "released": 1, "accepted": 1}


async def test_ten_rebalances_in_a_row_do_not_stop_the_work() -> None:
    """M9: events go on ending, and of the receipts only what is new is read again."""
    meter = Process()
    async with meter.running():
        await meter.joined()
        for turn in range(10):
            generation = meter.group.generation
            meter.produce(f"a{turn}", partition=0)
            meter.produce(f"b{turn}", partition=1)
            await meter.until(lambda: len(meter.billing.rows) == 2 * turn + 2, "this turn's are billed")  # noqa: B023  # asked at once
            meter.group.rebalance()
            await meter.until(lambda: meter.group.generation > generation, "the next generation")  # noqa: B023  # asked at once
        await meter.ended()
        await meter.joined()
    assert len(meter.billing.rows) == 20
    assert meter.billing.duplicates_total == 0
    assert [start for partition, start in meter.receipt_log.read_from if partition == 0] == list(range(11))


async def test_a_full_partition_stays_paused_after_a_rebalance() -> None:
    """M11: the group forgets who was paused; memory stays bounded all the same."""
    meter = Process(max_held_events=6, hand_over_seconds=0.0)
    meter.billing.open.clear()
    meter.produce(*(f"a{number}" for number in range(2000)))
    async with meter.running():
        await meter.until(lambda: meter.billing.requests_total, "requests are under way")
        held = meter.machine.counts.held
        assert held <= RECORDS_PER_POLL
        meter.group.rebalance()
        await meter.until(lambda: meter.machine.counts.released == held, "released")
        await meter.until(lambda: meter.machine.counts.held, "taken again")
        for _ in range(3):
            await meter.sources[0].poll(RECORDS_PER_POLL, 0.0)
        assert meter.machine.counts.held <= RECORDS_PER_POLL
        meter.billing.open.set()
        await meter.until(lambda: meter.committed() == 2000, "all committed")


async def test_records_of_an_assignment_that_is_over_are_not_taken_for_those_of_the_next() -> None:
    """A whole rebalance fits between two partitions of one poll: records that were read ahead must not make the next
    assignment believe that everything below them was handed over."""
    meter = Process(partitions=40, hand_over_seconds=0.0, max_held_events=1000)
    meter.billing.open.clear()
    everywhere = range(40)
    for partition in everywhere:
        meter.produce(f"first{partition}", partition=partition)
    async with meter.running():
        await meter.until(lambda: meter.machine.counts.consumed == 40, "held")
        for partition in everywhere:
            meter.produce(f"second{partition}", partition=partition)
        while meter.machine.counts.consumed == 40:
            await meter.turns(1)
        meter.group.rebalance()
        await meter.turns(200)
        meter.billing.open.set()
        await meter.ended()
    assert len(meter.billing.rows) == 80
    assert meter.billing.collisions == []


async def test_a_member_that_was_thrown_out_joins_again() -> None:
    """It learns that from a commit; what it held is released, comes again, and is billed once."""
    meter = Process()
    async with meter.running():
        await meter.joined()
        meter.group.evict(meter.sources[0], notices=False)
        meter.produce("a", "b")
        await meter.ended()
    assert meter.billing.rows.keys() == {"a", "b"}
    assert meter.billing.duplicates_total == 0
    assert len(meter.sources) == 1


async def test_a_client_that_silently_delivers_nothing_is_made_anew() -> None:
    """After half of the time in which a restart would be asked for; and not while there is nothing to deliver."""
    meter = Process()
    async with meter.running():
        await meter.joined()
        meter.sources[0].has_stalled = True
        meter.turn(31.0)
        await meter.turns()
        assert len(meter.sources) == 1
        meter.produce("a", "b")
        worker = meter.standing.worker
        assert worker is not None
        await meter.until(lambda: worker.behind() == {0: 2, 1: 0}, "what waits is seen")
        meter.turn(31.0)
        await meter.until(lambda: len(meter.sources) == 2, "a second client")
        await meter.ended()
    assert meter.billing.rows.keys() == {"a", "b"}


async def test_a_client_whose_commits_nobody_accepts_is_made_anew() -> None:
    """It has lost its way to the coordinator: it waits for ever, while others may have its partitions. Nothing is
    billed twice."""
    meter = Process()
    async with meter.running():
        await meter.joined()
        meter.cluster.faults.fail("commit", times=5)
        meter.produce("a", "b")
        commits = meter.machine.commits
        await meter.until(lambda: commits.refused_seconds(float("inf")), "some commits have failed")
        meter.turn(31.0)
        await meter.until(lambda: len(meter.sources) == 2, "a second client")
        await meter.ended()
    assert meter.billing.rows.keys() == {"a", "b"}


# Commits


async def test_a_commit_without_an_answer_is_followed_by_the_next() -> None:
    """C5: one at a time; the position never goes back, and nothing is billed again."""
    meter = Process()
    async with meter.running():
        await meter.joined()
        meter.cluster.faults.lose("commit")
        meter.cluster.faults.fail("commit", times=2)
        meter.produce("a", "b")
        await meter.ended()
        meter.produce("c")
        await meter.ended()
    assert meter.committed() == 3
    assert meter.billing.duplicates_total == 0


async def test_a_log_that_ends_in_a_marker_has_no_lag() -> None:
    """C7: the consumer's own position counts when nothing is held, also while another partition never rests."""
    meter = Process()
    meter.produce("a")
    meter.cluster.log(TOPIC, 0).append_marker()
    async with meter.running():
        await meter.ended()
        await meter.until(lambda: [one["lag"] for one in meter.standing.status()["partitions"]] == [0, 0], "no lag")
    assert meter.committed() == 2


async def test_one_blocked_partition_does_not_stop_the_others() -> None:
    """C8: an event that waits for an answer for ever keeps only its own partition from going on."""
    meter = Process(max_held_events=12)
    meter.billing.refused_customers = {"cus_bad"}
    meter.produce("bad", customer="cus_bad")
    async with meter.running():
        await meter.until(lambda: meter.billing.requests_total, "the bad event was refused")
        meter.cluster.faults.fail("dead_letters.write", times=10_000)
        meter.produce(*(f"a{number}" for number in range(20)), partition=0)
        meter.produce(*(f"b{number}" for number in range(100)), partition=1)
        await meter.until(lambda: meter.committed(1) == 100, "the other partition goes on")
        assert meter.committed(0) == 0
        assert any(reason.startswith("kafka_write") for reason in meter.standing.reasons())
        meter.cluster.faults = Faults()
        await meter.ended()
    assert meter.events == {"consumed": 121, "accepted": 120, "dead_lettered": 1}


# The provider


async def test_a_wrong_key_pauses_billing_and_is_said_once() -> None:
    """Nothing is dead-lettered; it is probed until it works, and then everything goes on by itself."""
    meter = Process()
    meter.billing.faults = [Fault("status", status=401)] * 5
    meter.produce(*"abcdef")
    with capture_logs() as lines:
        async with meter.running():
            await meter.until(lambda: meter.standing.status()["billing"]["state"] == "paused", "paused")
            assert meter.standing.reasons() == ["billing_paused: unauthorized: 401 Fault injected"]
            await meter.ended()
            assert meter.standing.reasons() == []
    told = [(line["event"], line["log_level"]) for line in lines if line["event"].startswith("billing")]
    assert told == [("billing.paused", "error"), ("billing.resumed", "info")]
    assert meter.events == {"consumed": 6, "accepted": 6}


async def test_a_provider_that_is_away_is_waited_for() -> None:
    """One line when it goes, one when it is back; every key is billed once, also after an answer that was lost."""
    meter = Process()
    meter.billing.faults = [Fault("status", status=503), Fault("cut_after_commit"), Fault("cut_before_commit")]
    meter.produce(*"abcdef")
    with capture_logs() as lines:
        async with meter.running():
            await meter.ended()
    told = [line["event"] for line in lines if line["event"].startswith("billing")]
    assert told == ["billing.retrying", "billing.resumed"]
    assert meter.billing.collisions == []
    assert meter.events == {"consumed": 6, "accepted": 6}


# What nobody planned for


class Broken:
    """A provider's client with a mistake in it; `ended` lets it come to light."""

    def __init__(self) -> None:
        self.asked, self.ended = asyncio.Event(), asyncio.Event()

    async def record_bulk(self, bodies: Sequence[bytes], may_send: Callable[[], bool]) -> Outcome:
        """Whatever it is."""
        self.asked.set()
        await self.ended.wait()
        raise ZeroDivisionError("nobody planned for this")


async def test_an_exception_in_a_request_ends_the_process_and_its_membership() -> None:
    """With the reason, and after the two seconds in which the provider may still be inserting: redelivery is the
    recovery, so nobody may go on holding the partitions."""
    broken = Broken()
    meter = Process(bills_at=broken)
    meter.produce("a")
    with pytest.raises(ZeroDivisionError, match="nobody planned"):
        await _come_to_light(broken, meter)
    assert not meter.group.members


async def test_a_membership_ends_though_nobody_answers_for_a_request() -> None:
    """Whatever mistake that was: it waits as long as for a hand-over, then others may have the partitions."""
    meter = Process()
    async with meter.running() as task:
        await meter.joined()
        meter.produce("a")
        meter.machine.records(0, meter.cluster.log(TOPIC, 0).records, meter.clock.now())
        assert meter.machine.next(meter.clock.now()).sends
        meter.stop.set()

        def has_ended_by_then() -> bool:
            meter.turn(1.0)
            return task.done()

        await meter.until(has_ended_by_then, "it has ended")
    assert not meter.group.members


# Receipts


async def test_a_restart_recognises_what_was_receipted_above_the_commit() -> None:
    """W1, W9: killed before the commit, down for longer than the window: nothing is billed again, nothing skipped."""
    first = Process()
    async with first.running() as task:
        await first.joined()
        first.cluster.faults.fail("commit", times=1000)
        first.produce("a", "b", "c", "d")
        await first.until(lambda: first.machine.counts.accepted == 4, "accepted and receipted")
        task.cancel()
        await first.until(task.done, "killed")
    assert first.committed() == 0

    again = Process(first)
    again.cluster.faults = Faults()
    again.turn(200_000.0)
    again.produce("e")
    async with again.running():
        await again.ended()
    assert again.events == {"consumed": 5, "duplicate": 4, "accepted": 1}
    assert again.billing.duplicates_total == 0


async def test_receipts_of_another_group_do_not_count() -> None:
    """W3: two groups share one receipts topic; what the other one billed is still to be billed here."""
    other = Process()
    other.produce("a")
    async with other.running():
        await other.ended()
    mine = Process(other, owner=Owner("mine", "http://provider", "sandbox"))
    mine.group.commits.clear()
    async with mine.running():
        await mine.ended()
    assert mine.events == {"consumed": 1, "accepted": 1}


async def test_a_receipt_that_is_too_large_is_split() -> None:
    """W5: every key is receipted once, and only then committed."""
    meter = Process(batch=BatchLimits(8, 100_000, 0.0))
    meter.cluster.faults.fail("receipts.write", times=2, error=RecordTooLarge("too large"))
    meter.produce(*"abcdefgh")
    async with meter.running():
        await meter.ended()
    assert sorted(meter.receipted()) == list("abcdefgh")
    assert len(meter.receipts()) == 3
    assert meter.events == {"consumed": 8, "accepted": 8}


async def test_while_receipts_cannot_be_written_nothing_is_committed_and_the_reason_is_told() -> None:
    """Invariant 7: it waits, visibly; the reason goes when the writes work again."""
    meter = Process()
    async with meter.running():
        await meter.joined()
        meter.cluster.faults.fail("receipts.write", times=3)
        meter.produce("a")
        await meter.until(lambda: meter.standing.reasons(), "a reason")
        assert meter.standing.reasons() == ["kafka_write: scripted: receipts.write fails"]
        assert meter.committed() == 0
        await meter.ended()
        assert meter.standing.reasons() == []
    assert meter.receipted() == ["a"]


async def test_what_could_not_be_written_before_is_no_reason_of_the_next_membership() -> None:
    """It went with the partitions; a replica that joins and gets none would tell of it until its next assignment."""
    other = Process(partitions=1)
    meter = Process(other)
    async with other.running():
        await other.joined()
        meter.standing.write_waits("cannot commit: Kafka gave no answer within 5 s")
        async with meter.running():
            await meter.until(lambda: meter.standing.worker and meter.standing.worker.listener.joined, "joined")
            assert meter.standing.reasons() == []


async def test_a_loop_that_can_do_nothing_hardly_turns() -> None:
    """Held events and a provider that refuses us: it wakes for the next probe, it does not spin until then."""
    meter = Process()
    meter.billing.faults = [Fault("status", status=401)] * 1000
    meter.produce(*"abcdef")
    async with meter.running():
        await meter.until(lambda: meter.machine.gate.paused, "paused")
        meter.clock.asked_total, probes_total = 0, meter.billing.requests_total
        await meter.until(lambda: meter.billing.requests_total > probes_total, "the next probe")
        assert meter.clock.asked_total < 70  # 20; a loop that spins asks 130 times and more


async def _held_back(meter: Process) -> None:
    """One request has arrived at the provider, which takes its time."""
    meter.billing.open.clear()
    await meter.until(lambda: meter.billing.requests_total == 1, "a request is under way")


async def _come_to_light(broken: Broken, meter: Process) -> None:
    """The mistake does, and the process has two seconds to wait before it leaves."""
    async with meter.running() as task:
        await asyncio.wait_for(broken.asked.wait(), LIMIT_SECONDS)
        broken.ended.set()
        await meter.turns()
        assert not task.done()
        assert meter.group.members
        meter.turn(2.1)
        await meter.until(task.done, "it has ended")
