"""Metrics: the names that other people's dashboards rely on."""

import re

from prometheus_client.parser import text_string_to_metric_families

from meter.metrics import Metrics, Readings
from meter.pipeline.counts import Counts

PROMISED = {
    "meter_events_consumed_total",
    "meter_events_accepted_total",
    "meter_events_duplicate_total",
    "meter_events_dead_lettered_total",
    "meter_events_released_total",
    "meter_events_held",
    "meter_events_not_debited_total",
    "meter_units_accepted_total",
    "meter_batches_total",
    "meter_batch_events_bucket",
    "meter_flush_seconds_bucket",
    "meter_billing_requests_total",
    "meter_billing_paused",
    "meter_partition_lag",
    "meter_commit_age_seconds",
    "meter_dedupe_ids",
    "meter_limits_answers_total",
    "meter_limits_answer_seconds_bucket",
    "meter_limits_entries",
    "meter_lost_records_total",
    "meter_cut_logs_total",
    "meter_build_info",
    "process_resident_memory_bytes",
}


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample of one scrape: `name{label=value}` -> value."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def shown(counts: Counts, readings: Readings | None = None) -> Metrics:
    metrics = Metrics("1.2.3")
    metrics.show(counts, lambda: readings or Readings())
    return metrics


def test_every_promised_name_is_there() -> None:
    """The names of the interface, spelled out here a second time on purpose."""
    counts = Counts(dead_lettered={"expired": 1}, not_debited={"duplicate": 1})
    metrics = shown(counts, Readings(lags={0: 1}, commit_age_seconds=1.0))
    metrics.billing_paused("unauthorized")
    names = {re.sub(r"\{.*", "", name) for name in samples(metrics)}
    assert names >= PROMISED
    assert not [name for name in names if name.endswith("_created")]


def test_a_scrape_shows_the_numbers_of_that_moment() -> None:
    """Counters are read when scraped, so one scrape is consistent in itself."""
    counts = Counts()
    metrics = shown(counts)
    counts.consumed, counts.accepted, counts.held = 1_000_003, 1_000_000, 2
    counts.dead_letter("invalid:json")
    found = samples(metrics)
    assert found["meter_events_consumed_total"] == 1_000_003
    assert found["meter_events_accepted_total"] == 1_000_000
    assert found["meter_events_held"] == 2
    assert found["meter_events_dead_lettered_total{reason=invalid:json}"] == 1


def test_what_is_not_known_is_absent_and_not_zero() -> None:
    """An unknown lag shown as 0 would silence the alert that it should raise."""
    found = samples(shown(Counts(), Readings(lags={3: 7})))
    assert found["meter_partition_lag{partition=3}"] == 7
    assert "meter_partition_lag{partition=0}" not in found
    assert "meter_commit_age_seconds" not in found


def test_a_pause_ends_at_zero_and_names_one_reason_at_a_time() -> None:
    """Alerts on the gauge resolve by themselves."""
    metrics = shown(Counts())
    metrics.billing_paused("unauthorized")
    metrics.billing_paused("forbidden")
    assert samples(metrics)["meter_billing_paused{reason=unauthorized}"] == 0
    assert samples(metrics)["meter_billing_paused{reason=forbidden}"] == 1
    metrics.billing_paused(None)
    assert samples(metrics)["meter_billing_paused{reason=forbidden}"] == 0


def test_known_labels_exist_before_the_first_count() -> None:
    """A series that first appears at 1 has no rate, so the first failure would be missed."""
    found = samples(shown(Counts()))
    assert found["meter_billing_requests_total{operation=bulk,outcome=refused}"] == 0
    assert found["meter_limits_answers_total{source=policy}"] == 0
    assert found["meter_batches_total{trigger=drain}"] == 0


def test_answers_and_requests_are_counted() -> None:
    """Direct instruments of the edges."""
    metrics = shown(Counts())
    metrics.limits_answer("cached", 0.0002)
    metrics.billing_request("limits", "ok")
    found = samples(metrics)
    assert found["meter_limits_answers_total{source=cached}"] == 1
    assert found["meter_limits_answer_seconds_bucket{le=0.00025}"] == 1
    assert found["meter_billing_requests_total{operation=limits,outcome=ok}"] == 1


def test_two_instances_do_not_share_anything() -> None:
    """No global registry: a second daemon in one process, as in tests, starts at zero."""
    shown(Counts()).limits_answer("fresh", 1.0)
    assert samples(shown(Counts()))["meter_limits_answers_total{source=fresh}"] == 0
