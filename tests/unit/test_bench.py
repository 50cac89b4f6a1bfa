"""The throughput bench: its own provider counts right, and it notices when an event is missing."""

import asyncio
from typing import cast

import msgspec
import pytest

from bench import sandbox
from bench.bare_loop import BareFigures
from bench.events import EVENT_BYTES, customer_of, event
from bench.hooks import Hooks
from bench.limits_load import LimitsFigures
from bench.report import Round, faults, report
from bench.rounds import MeterFigures
from bench.sink import Connection, Sink, Totals


class RecordingTransport:
    """What was written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def bulk(*keys: str) -> bytes:
    body = msgspec.json.encode({"events": [{"customerRef": "cus_1", "idempotencyKey": key} for key in keys]})
    return b"POST /v1/sdk/usages/bulk HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def connected(sink: Sink) -> tuple[Connection, RecordingTransport]:
    connection, transport = Connection(sink), RecordingTransport()
    connection.connection_made(cast("asyncio.BaseTransport", transport))
    return connection, transport


def figures(keys: int, events: int) -> Round:
    limits = LimitsFigures(1, 1.0, 1.0, 1.0, 1.0, {})
    return Round(BareFigures(1.0, 1.0, 1.0), MeterFigures(8.0, 8.0, 0.0, 1.0, Totals(keys, events, 1, 1), limits))


def test_an_event_has_the_size_that_the_bench_promises() -> None:
    """238 bytes, as in every other measurement of this project."""
    one = event(customer_of(1), "prd_00007", "8d0f3a52-3a5e-4a0e-9a55-0e5a8a2f6f11", 3, "2026-11-23T20:00:00.123Z")
    assert len(one) == EVENT_BYTES


def test_the_sink_counts_a_key_once_however_often_it_comes() -> None:
    """Only so does a doubled event show: as more events than keys."""
    sink = Sink()
    connection, transport = connected(sink)
    connection.data_received(bulk("a", "b"))
    connection.data_received(bulk("b"))
    assert sink.totals == Totals(keys=2, events=3, requests=2)
    assert transport.written.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("piece_bytes", [1, 7, 60, 100_000])
def test_a_request_may_come_in_pieces(piece_bytes: int) -> None:
    """Bodies of a quarter of a megabyte always do."""
    sink = Sink()
    connection, _ = connected(sink)
    request = bulk(*map(str, range(20)))
    for start in range(0, len(request), piece_bytes):
        connection.data_received(request[start : start + piece_bytes])
    assert sink.totals == Totals(keys=20, events=20, requests=1)


@pytest.mark.parametrize(("keys", "events"), [(999, 999), (999, 1000), (1000, 1001)])
def test_figures_do_not_count_when_an_event_is_missing_or_doubled(keys: int, events: int) -> None:
    """A fast pipeline that loses events is no pipeline: the bench ends with 1."""
    assert faults(report(1000, pinned=True, rounds=[figures(1000, 1000)])) == []
    assert len(faults(report(1000, pinned=True, rounds=[figures(keys, events)]))) == 1


def test_the_ratio_compares_cpu_with_cpu() -> None:
    """Eight times the CPU of the bare loop is 0.125 of its speed."""
    summary = {one.name: one.median for one in report(1000, pinned=True, rounds=[figures(1000, 1000)]).summary}
    assert summary["meter / bare loop, in CPU"] == pytest.approx(0.125)
    assert summary["meter: events per CPU second"] == pytest.approx(125)


def test_the_receiver_of_webhooks_counts_an_event_once() -> None:
    """Repeats are allowed and add nothing; what is no debit is counted apart."""
    hooks = Hooks()
    for event_id, kind in (("evt_1", "debited"), ("evt_1", "debited"), ("evt_2", "debited"), ("evt_3", "granted")):
        told = {"id": event_id, "type": f"customer.credit.{kind}", "data": {"object": {"amount": -5}}}
        hooks.answer(b"POST / HTTP/1.1", msgspec.json.encode(told))
    assert (hooks.webhooks, hooks.debited, hooks.others) == (3, 10, 1)


def test_a_bulk_call_of_the_sandbox_bench_is_a_thousand_distinct_events() -> None:
    """Else the sandbox would be measured at answering repeats."""
    keys = [each["idempotencyKey"] for body in sandbox.bulk_bodies(2) for each in msgspec.json.decode(body)["events"]]
    assert len(keys) == len(set(keys)) == 2000


@pytest.mark.parametrize(("cpu_seconds", "verdict"), [(4.9, 0), (5.1, 1)])
def test_a_sandbox_that_is_too_slow_fails_the_bench(cpu_seconds: float, verdict: int) -> None:
    """20,000 events per CPU second are wanted of every setting."""
    found = sandbox.Figures(sandbox.SETTINGS[0], 100_000, cpu_seconds, 1.0, 0.0, 1.0, 0, 0.0)
    assert sandbox.too_slow([found]) == verdict
