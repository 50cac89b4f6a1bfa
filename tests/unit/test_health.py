"""Ready, alive or stuck: decided from facts."""

import pytest

from meter.health import Facts, Idleness, is_stuck, reasons


def test_a_replica_at_rest_is_ready() -> None:
    """No traffic is no reason."""
    assert reasons(Facts(idle_seconds=10_000), 60) == []


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (Facts(joined=False), "kafka_not_joined"),
        (Facts(kafka_trouble="127.0.0.1:9092 does not answer"), "kafka"),
        (Facts(filling=[3]), "window_filling"),
        (Facts(taking_over_seconds=5.0), "taking_over"),
        (Facts(waiting_to_write="the receipts topic cannot be written"), "kafka_write"),
        (Facts(billing_paused="unauthorized"), "billing_paused"),
        (Facts(billing_failing_seconds=6, billing_trouble="503"), "billing_unreachable"),
        (Facts(blocked=[1, 2]), "partition_blocked"),
        (Facts(full_of_refused=[1]), "partition_full"),
        (Facts(draining=True), "draining"),
        (Facts(held=1, idle_seconds=61), "stuck"),
        (Facts(behind=1, idle_seconds=61), "stuck"),
    ],
)
def test_each_trouble_is_a_reason_with_a_name(facts: Facts, name: str) -> None:
    """The name before the colon is for alerts, the sentence after it for people."""
    assert [reason.split(":")[0] for reason in reasons(facts, 60)] == [name]


def test_one_failed_request_is_no_reason() -> None:
    """Readiness must not flap with every retry."""
    assert reasons(Facts(billing_failing_seconds=4.9), 60) == []


@pytest.mark.parametrize(
    "facts",
    [
        Facts(held=5, idle_seconds=1000, billing_paused="unauthorized"),
        Facts(held=5, idle_seconds=1000, billing_failing_seconds=900),
        Facts(held=5, idle_seconds=1000, billing_failing_seconds=1),
        Facts(held=5, idle_seconds=1000, waiting=True),
        Facts(behind=5, idle_seconds=1000, joined=False),
        Facts(behind=5, idle_seconds=1000, client_suspected=True, waiting_to_write="no space"),
        Facts(held=5, idle_seconds=1000, blocked=[1]),
        Facts(held=5, idle_seconds=1000, kafka_trouble="away"),
        Facts(held=0, idle_seconds=1000),
        Facts(held=5, idle_seconds=56.9),
    ],
)
def test_a_restart_is_never_asked_for_when_the_cause_is_known(facts: Facts) -> None:
    """C8: no watchdog restart loop while the provider is away or an event blocks its partition."""
    assert not is_stuck(facts, 60)


def test_held_events_without_progress_or_cause_are_stuck() -> None:
    """Then only a restart can help; redelivery is the recovery."""
    assert is_stuck(Facts(held=5, idle_seconds=57), 60)


@pytest.mark.parametrize(
    "facts",
    [
        Facts(behind=5, idle_seconds=61, client_suspected=True, joined=False, kafka_trouble="recreated"),
        Facts(behind=5, idle_seconds=61, client_suspected=True, filling=[0]),
        Facts(held=5, behind=5, idle_seconds=61, waiting=True),
    ],
)
def test_what_was_to_help_and_did_not_is_no_excuse(facts: Facts) -> None:
    """A client that was recreated and brings as little; nor do records that nobody reads wait for anything."""
    assert is_stuck(facts, 60)


def test_time_counts_only_while_there_is_no_excuse() -> None:
    """After an outage of hours everything has its time anew; what moves has no need of it."""
    idleness = Idleness(100.0)
    looks = [
        (7, True, 130.0),
        (7, True, 150.0),
        (7, False, 160.0),
        (7, True, 170.0),
        (8, True, 180.0),
        (8, True, 190.0),
    ]
    seconds = []
    for moved, no_excuse, at in looks:
        idleness.look(moved, no_excuse=no_excuse, steady_seconds=at)
        seconds.append(idleness.seconds(at))
    assert seconds == [0.0, 20.0, 0.0, 10.0, 0.0, 10.0]


def test_many_partitions_are_named_shortly() -> None:
    """A reason stays one line, with 500 partitions too."""
    (reason,) = reasons(Facts(filling=range(500)), 60)
    assert reason.endswith("partitions 0, 1, 2, 3, 4 and 495 more")
