"""Every metric of the daemon, in one place; names and labels are promises to other people's dashboards.

What the machine counts is read from its own numbers at the moment of the scrape, so that
`consumed = accepted + duplicate + dead_lettered + released + held` is true in every single scrape.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meter.pipeline.counts import Counts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TRIGGERS = ("count", "bytes", "age", "drain")
LIMITS_SOURCES = ("fresh", "cached", "stale", "policy")
OPERATIONS = ("bulk", "limits")
OUTCOMES = ("ok", "retry", "rejected", "refused")
_BATCH_EVENTS = (1, 10, 50, 100, 250, 500, 750, 1000)
_FLUSH_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ANSWER_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)


@dataclass(frozen=True, slots=True)
class Readings:
    """Levels as they are at the moment of a scrape; what is not known is left out, never shown as 0."""

    lags: Mapping[int, int] = field(default_factory=dict)
    """Partition -> records between its committed offset and its end."""
    commit_age_seconds: float | None = None
    """Since the last accepted commit."""
    in_flight_limit: int = 0
    """Requests to the provider that may be under way now."""
    poison_events: int = 0
    dedupe_ids: int = 0
    dedupe_reach_seconds: float | None = None
    """How far back they go."""
    windows_filling: int = 0
    """Partitions whose receipts are still being read."""
    limits_entries: int = 0


class Metrics:
    """A registry of its own, so that two of them (as in tests) never meet."""

    def __init__(self, version: str) -> None:
        # Process-wide, and wanted so: a `_created` series beside each counter would double a scrape.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it untyped
        self._registry = CollectorRegistry(auto_describe=False)
        self.batch_events = self._histogram("meter_batch_events", "Events in a batch", _BATCH_EVENTS)
        self.flush_seconds = self._histogram(
            "meter_flush_seconds", "Duration of a bulk request to the provider", _FLUSH_SECONDS
        )
        self._limits_answer_seconds = self._histogram(
            "meter_limits_answer_seconds", "Time to answer a limits request", _ANSWER_SECONDS
        )
        self._requests = Counter(
            "meter_billing_requests_total",
            "Requests to the provider, by operation and outcome",
            ("operation", "outcome"),
            registry=self._registry,
        )
        self._answers = Counter(
            "meter_limits_answers_total", "Limits answers, by source", ("source",), registry=self._registry
        )
        self._paused = Gauge(
            "meter_billing_paused", "1 while billing is paused for this reason", ("reason",), registry=self._registry
        )
        self._pause_reasons: set[str] = set()
        build = Gauge("meter_build_info", "Always 1; the running version", ("version",), registry=self._registry)
        build.labels(version).set(1)
        self._start_at_zero()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def show(self, counts: Counts, readings: Callable[[], Readings]) -> None:
        """From now on every scrape reads these, in the event loop and without awaiting. Once per instance."""
        self._registry.register(_AtScrape(counts, readings))

    def billing_request(self, operation: str, outcome: str) -> None:
        """One request to the provider has ended; `OPERATIONS` and `OUTCOMES` are the names."""
        self._requests.labels(operation, outcome).inc()

    def billing_paused(self, reason: str | None) -> None:
        """Nothing is sent because of `reason`; None: sending goes on. A reason once seen stays, at 0."""
        if reason is not None:
            self._pause_reasons.add(reason)
        for known in self._pause_reasons:
            self._paused.labels(known).set(known == reason)

    def limits_answer(self, source: str, seconds: float) -> None:
        """One limits question was answered from `source` (of `LIMITS_SOURCES`) within `seconds`."""
        self._answers.labels(source).inc()
        self._limits_answer_seconds.observe(seconds)

    def render(self) -> bytes:
        """The whole scrape in Prometheus' text format, about 10 microseconds a sample."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float]) -> Histogram:
        return Histogram(name, text, buckets=tuple(buckets), registry=self._registry)

    def _start_at_zero(self) -> None:
        """A counter that first appears at 1 has no rate; so the known labels exist from the start."""
        for operation in OPERATIONS:
            for outcome in OUTCOMES:
                self._requests.labels(operation, outcome)
        for source in LIMITS_SOURCES:
            self._answers.labels(source)


class _AtScrape(Collector):
    """Turns the machine's numbers into samples at the moment of the scrape."""

    def __init__(self, counts: Counts, readings: Callable[[], Readings]) -> None:
        self._counts = counts
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        """No awaits between the numbers: they belong to one moment."""
        yield from _counted(self._counts)
        yield from _levels(self._readings())


def _counted(counts: Counts) -> Iterable[Metric]:
    yield CounterMetricFamily("meter_events_consumed", "Events read from the topic", counts.consumed)
    yield CounterMetricFamily("meter_events_accepted", "Ended: accepted by the provider", counts.accepted)
    yield CounterMetricFamily(
        "meter_events_duplicate", "Ended: another event with the same id was accepted before", counts.duplicate
    )
    yield _labelled("meter_events_dead_lettered", "Ended: kept in the dead letters", "reason", counts.dead_lettered)
    yield CounterMetricFamily(
        "meter_events_released", "Handed back with their partition before they ended", counts.released
    )
    yield GaugeMetricFamily("meter_events_held", "Events that have not ended yet", counts.held)
    yield _labelled(
        "meter_events_not_debited",
        "Accepted but not debited, by reason; duplicates and plans without credits are not counted",
        "reason",
        counts.not_debited,
    )
    yield CounterMetricFamily("meter_units_accepted", "Units of accepted events", counts.units_accepted)
    batches = dict.fromkeys(TRIGGERS, 0) | counts.batches
    yield _labelled("meter_batches", "Batches, by what triggered them", "trigger", batches)
    yield CounterMetricFamily("meter_lost_records", "Records that expired before they were read", counts.lost_records)
    yield CounterMetricFamily("meter_cut_logs", "Partitions found to end below their commit", counts.cut_logs)


def _labelled(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in sorted(values.items()):
        family.add_metric((value,), count)
    return family


def _levels(readings: Readings) -> Iterable[Metric]:
    lag = GaugeMetricFamily(
        "meter_partition_lag", "Records between the committed offset and the end", labels=("partition",)
    )
    for partition, records in sorted(readings.lags.items()):
        lag.add_metric((str(partition),), records)
    yield lag
    if readings.commit_age_seconds is not None:
        yield GaugeMetricFamily(
            "meter_commit_age_seconds", "Since the last accepted commit", readings.commit_age_seconds
        )
    yield GaugeMetricFamily(
        "meter_billing_in_flight_limit", "Requests to the provider that may be in flight now", readings.in_flight_limit
    )
    yield GaugeMetricFamily(
        "meter_billing_poison_events", "Events that fail on their own while others are accepted", readings.poison_events
    )
    yield GaugeMetricFamily("meter_dedupe_ids", "Accepted ids in the dedupe window", readings.dedupe_ids)
    if readings.dedupe_reach_seconds is not None:
        yield GaugeMetricFamily(
            "meter_dedupe_reach_seconds", "How far back the dedupe window reaches", readings.dedupe_reach_seconds
        )
    yield GaugeMetricFamily(
        "meter_dedupe_filling", "Partitions waiting for their receipts to be read", readings.windows_filling
    )
    yield GaugeMetricFamily("meter_limits_entries", "Snapshots in the limits cache", readings.limits_entries)
