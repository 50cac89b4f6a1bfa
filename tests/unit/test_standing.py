"""How this replica stands: what operators are shown, and what the orchestrator is told."""

import pytest

from meter.errors import Silent, Unavailable
from meter.pipeline.buffer import BatchLimits
from meter.pipeline.outcome import Refusal, Refused, Rejected
from meter.pipeline.start import Bounds
from tests.builders import records
from tests.replicas import Replica


def test_status_is_what_the_interface_promises() -> None:
    """Events by end, partitions with their lag, and how billing stands."""
    replica = Replica()
    replica.driver.feed(0, *records(0, 3))
    replica.driver.bill()
    replica.driver.pass_time(0.5)
    replica.worker.ends = {0: Bounds(0, 5)}
    status = replica.standing.status()
    assert status["events"] == {
        "consumed": 3, "accepted": 3, "duplicate": 0, "dead_lettered": 0, "released": 0, "held": 0
    }  # fmt: skip
    assert status["partitions"] == [
        {"partition": 0, "position": 3, "committed": 3, "end": 5, "lag": 2},
        {"partition": 1, "position": 0, "committed": 0, "end": None, "lag": None},
    ]
    assert status["billing"] == {
        "state": "ok", "reason": None, "detail": "", "in_flight_limit": 4, "poison": [],
        "refused": {"events": 0, "first": []},
    }  # fmt: skip
    assert (status["ready"], status["reasons"]) == (True, [])


def test_a_lag_that_nobody_knows_is_no_zero() -> None:
    """The ends of the log cannot be had: the metric is absent, not good."""
    replica = Replica()
    assert replica.standing.readings().lags == {}
    replica.worker.ends = {0: Bounds(0, 5)}
    assert replica.standing.readings().lags == {0: 5}


def test_the_age_of_the_last_commit_is_measured() -> None:
    """From the moment the broker accepted it; before the first one it is unknown."""
    replica = Replica()
    assert replica.standing.readings().commit_age_seconds is None
    replica.driver.feed(0, *records(0, 3))
    replica.driver.bill()
    replica.driver.pass_time(0.5)
    replica.clock.turn(10.0)
    age = replica.standing.readings().commit_age_seconds
    assert age is not None
    assert 9.0 < age <= 10.0


def test_a_replica_that_is_not_connected_is_not_ready_but_alive() -> None:
    """A restart would not bring the broker back."""
    replica = Replica()
    replica.standing.worker, replica.standing.kafka_trouble = None, "127.0.0.1:9092 does not answer"
    assert replica.reasons() == ["kafka", "kafka_not_joined"]
    assert replica.standing.beat()


def test_a_provider_that_fails_for_some_seconds_is_a_reason_until_it_answers() -> None:
    """One failed request is weather."""
    replica = Replica()
    replica.driver.feed(0, *records(0, 3))
    replica.standing.batch_answered("retry", 0.1)
    assert replica.reasons() == []
    replica.pass_time(6.0)
    replica.standing.batch_answered("retry", 0.1)
    assert replica.reasons() == ["billing_unreachable"]
    replica.standing.batch_answered("rejected", 0.1)
    assert replica.reasons() == []


def test_a_replica_that_holds_nothing_does_not_stay_unready() -> None:
    """What was failing went to somebody else with its partition: nobody here will ever see it succeed."""
    replica = Replica()
    replica.driver.feed(0, *records(0, 3))
    replica.standing.batch_answered("retry", 0.1)
    replica.pass_time(6.0)
    assert replica.reasons() == ["billing_unreachable"]
    replica.driver.revoke()
    replica.driver.assign(0)
    assert replica.reasons() == []


def test_a_refused_key_is_the_reason_and_no_restart_helps() -> None:
    """Held for hours, and alive all the same: everybody knows why."""
    replica = Replica()
    replica.driver.feed(0, *records(0, 3))
    replica.driver.answer(Refused(Refusal.UNAUTHORIZED, "Invalid API key"))
    replica.pass_time(3600.0)
    assert replica.reasons() == ["billing_paused"]
    assert replica.standing.beat()


def test_held_events_that_never_end_without_a_reason_are_a_case_for_a_restart() -> None:
    """Within `run.stuck_after_seconds`; while anything moves there is none."""
    replica = Replica()
    replica.driver.feed(0, *records(0, 3))
    assert replica.standing.beat()
    replica.pass_time(56.0)
    assert replica.standing.beat()
    replica.pass_time(1.0)
    assert not replica.standing.beat()
    assert replica.reasons() == ["stuck"]


def test_a_request_that_still_has_time_is_no_case_for_a_restart() -> None:
    """`billing.timeout_seconds` above `run.stuck_after_seconds`: a provider that hangs is a known cause at once."""
    replica = Replica(stuck_after_seconds=60.0, request_seconds=90.0)
    replica.driver.feed(0, *records(0, 3))
    for _ in range(91):
        assert replica.standing.beat()
        replica.pass_time(1.0)
    replica.pass_time(3.0)
    assert not replica.standing.beat()
    assert replica.reasons() == ["stuck"]


def test_records_that_nobody_reads_are_a_case_for_a_restart() -> None:
    """Nothing is held, and yet nothing moves; the time before there was anything to read does not count."""
    replica = Replica()
    replica.worker.ends = {0: Bounds(0, 0), 1: Bounds(0, 0)}
    replica.driver.pass_time(0.5)
    replica.pass_time(3600.0)
    assert replica.standing.beat()
    replica.worker.ends = {0: Bounds(0, 9)}
    assert replica.standing.beat()
    replica.pass_time(61.0)
    assert not replica.standing.beat()


def test_what_is_left_to_read_is_not_forgotten_while_the_client_is_made_anew() -> None:
    """A client that brings nothing is recreated again and again: that is no movement, and no excuse."""
    replica = Replica()
    worker, replica.worker.ends = replica.worker, {0: Bounds(0, 9)}
    assert replica.standing.beat()
    replica.pass_time(30.0)
    replica.standing.client_is_silent()
    replica.standing.worker = None
    replica.standing.kafka_lost(Silent("none arrives: the client is recreated"))
    replica.driver.revoke()
    assert replica.standing.beat()
    replica.driver.assign(0, 1)
    replica.standing.worker, worker.ends, replica.standing.kafka_trouble = worker, {}, None
    assert replica.standing.beat()
    replica.pass_time(31.0)
    assert not replica.standing.beat()
    assert replica.reasons() == ["stuck"]


def test_a_broker_that_is_away_has_no_need_of_a_restart() -> None:
    """Not even after a client that was recreated in vain: now everybody knows why nothing arrives."""
    replica = Replica()
    replica.worker.ends = {0: Bounds(0, 9)}
    assert replica.standing.beat()
    replica.standing.client_is_silent()
    replica.standing.kafka_lost(Silent("none arrives: the client is recreated"))
    replica.standing.kafka_lost(Unavailable("nobody listens there"))
    replica.pass_time(3600.0)
    assert replica.standing.beat()
    replica.standing.kafka_trouble = None
    assert replica.standing.beat()


def test_released_and_read_again_is_no_movement() -> None:
    """A group that rebalances all the time hides nobody who never bills."""
    replica = Replica()
    for _ in range(5):
        replica.driver.feed(0, *records(0, 3))
        assert replica.standing.beat()
        replica.pass_time(10.0)
        replica.driver.sends.clear()
        replica.driver.revoke()
        replica.driver.assign(0, 1)
    assert replica.driver.ends() == {"consumed": 15, "released": 15}
    replica.driver.feed(0, *records(0, 3))
    replica.pass_time(8.0)
    assert not replica.standing.beat()


def test_an_event_that_was_refused_alone_waits_for_another_and_for_no_restart() -> None:
    """On a quiet topic: only another event's acceptance can tell whose fault it is, and that may take days."""
    replica = Replica()
    replica.driver.feed(0, *records(0, 1))
    replica.driver.pass_time(1.0)
    replica.driver.answer(Rejected({0: "no"}, "no"))
    refused = replica.standing.status()["billing"]["refused"]
    assert refused == {"events": 1, "first": [{"origin": "0:0", "reason": "rejected", "detail": "no"}]}
    replica.pass_time(3600.0)
    assert replica.standing.beat()
    assert replica.reasons() == []


def test_a_pause_of_billing_is_no_reason_once_there_is_nothing_to_bill() -> None:
    """Released or parked: the next event will tell, and limits are answered meanwhile."""
    replica = Replica()
    replica.driver.feed(0, *records(0, 3))
    replica.driver.answer(Refused(Refusal.UNAUTHORIZED, "Invalid API key"))
    assert replica.reasons() == ["billing_paused"]
    replica.driver.revoke()
    assert replica.reasons() == []


def test_when_no_more_fits_beside_refused_events_that_is_a_reason() -> None:
    """Billing is not paused, as one customer's events may be bad, but somebody has to know that nothing is read."""
    replica = Replica(max_held_events=6)
    replica.refuse_until_full()
    assert replica.reasons() == ["partition_full"]
    assert replica.standing.beat()


def test_a_batch_that_may_wait_for_long_is_not_stuck() -> None:
    """`batch.max_age_seconds` above `run.stuck_after_seconds`: it leaves when it is due."""
    replica = Replica(batch=BatchLimits(3, 100_000, 600.0))
    replica.driver.feed(0, *records(0, 1))
    replica.pass_time(599.0)
    assert replica.standing.beat()
    replica.pass_time(2.0)
    assert replica.standing.beat()
    replica.pass_time(61.0)
    assert not replica.standing.beat()


def test_a_broker_that_does_not_say_where_partitions_end_is_a_reason() -> None:
    """The lag is unknown, and somebody should know why."""
    replica = Replica()
    replica.worker.ends_trouble = "Kafka gave no answer within 10 s"
    assert replica.reasons() == ["kafka"]
    replica.worker.ends_trouble = None
    assert replica.reasons() == []


def test_asking_how_things_are_changes_nothing() -> None:
    """Only the watchdog's beat moves the clock of idleness: an excuse that somebody happened to see resets nothing."""
    replica = Replica()
    replica.driver.feed(0, *records(0, 3))
    assert replica.standing.beat()
    replica.pass_time(40.0)
    replica.standing.draining = True
    assert replica.reasons() == ["draining"]
    assert not replica.standing.status()["ready"]
    assert replica.standing.alive()
    replica.standing.draining = False
    replica.pass_time(21.0)
    assert not replica.standing.alive()


def test_a_loop_that_no_longer_turns_is_not_alive() -> None:
    """Unless it is not supposed to turn: a worker that is leaving may take its time."""
    replica = Replica()
    replica.clock.turn(9.0)
    assert replica.standing.beat()
    replica.clock.turn(2.0)
    assert not replica.standing.beat()
    replica.worker.last_step_at = None
    assert replica.standing.beat()


@pytest.mark.parametrize("reason", ["receipts cannot be written", None])
def test_a_write_that_waits_is_a_reason_as_long_as_it_does(reason: str | None) -> None:
    """And no longer."""
    replica = Replica()
    replica.standing.write_waits("something else")
    replica.standing.write_waits(reason)
    assert replica.reasons() == (["kafka_write"] if reason else [])


def test_a_draining_replica_is_not_ready() -> None:
    """So that nobody asks it for limits any more."""
    replica = Replica()
    replica.standing.draining = True
    assert replica.reasons() == ["draining"]
