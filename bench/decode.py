"""What decoding costs an event, as a ratio to msgspec parsing it in the same run: `python -m bench.decode`."""

import gc
import time
from dataclasses import dataclass
from uuid import UUID

import msgspec

from meter.pipeline.event import InvalidEvent, Origin, decode

EVENTS = 20_000
ROUNDS = 7
CHUNK = 500
NOW_SECONDS = 1_763_930_000.0
ORIGIN = Origin("bench-cluster", "usage-events", 0)


@dataclass(slots=True)
class BenchRecord:
    """What the Kafka client hands over."""

    offset: int
    value: bytes | None
    timestamp: int = int(NOW_SECONDS * 1000)
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def canonical(n: int) -> dict[str, object]:
    return {
        "customerRef": f"cus_{n % 5000:08d}",
        "productRef": f"prd_{n % 50:08d}",
        "actionType": "api_call",
        "units": n % 10,
        "outcome": "success",
        "idempotencyKey": str(UUID(int=n * 2**64 + n)),
        "timestamp": f"2025-11-23T20:{n // 60 % 33:02d}:{n % 60:02d}.{n % 1000:03d}Z",
        "metadata": {"region": "eu-west-1", "model": "large"},
    }


def with_defaults(n: int) -> dict[str, object]:
    return {name: value for name, value in canonical(n).items() if name not in {"timestamp", "outcome", "actionType"}}


def legacy(n: int) -> dict[str, object]:
    names = {"customerRef": "customerId", "productRef": "productReference", "actionType": "action"}
    return {names.get(name, name): value for name, value in canonical(n).items()}


def cloud_event(n: int) -> dict[str, object]:
    data = {name: value for name, value in canonical(n).items() if name not in {"timestamp", "idempotencyKey"}}
    time_of_event = canonical(n)["timestamp"]
    return {"specversion": "1.0", "type": "usage", "source": "/api", "id": str(n), "time": time_of_event, "data": data}


def invalid(n: int) -> dict[str, object]:
    return {**canonical(n), "units": -1}


def compare(records: list[BenchRecord]) -> tuple[float, float]:
    """CPU nanoseconds per record to decode and to parse only: the best of rounds that alternate.

    Results are kept in chunks of 500, as the worker keeps them.
    """
    parse = msgspec.json.Decoder().decode
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for first in range(0, len(records), CHUNK):
            chunk = records[first : first + CHUNK]
            start = time.process_time_ns()
            _events = [decode(record, ORIGIN, NOW_SECONDS) for record in chunk]
            middle = time.process_time_ns()
            _parsed = [parse(record.value or b"") for record in chunk]
            end = time.process_time_ns()
            best = [min(best[0], middle - start), min(best[1], end - middle)]
    return best[0] / CHUNK, best[1] / CHUNK


def main() -> None:
    gc.freeze()
    gc.set_threshold(50_000)
    print(f"{'dialect':<16}{'decode ns':>12}{'msgspec ns':>12}{'ratio':>8}")
    for make in (canonical, with_defaults, legacy, cloud_event, invalid):
        records = [BenchRecord(n, msgspec.json.encode(make(n))) for n in range(EVENTS)]
        is_refused = isinstance(decode(records[0], ORIGIN, NOW_SECONDS), InvalidEvent)
        assert is_refused == (make is invalid)  # noqa: S101  # a bench of the wrong path measures nothing
        ours, theirs = compare(records)
        print(f"{make.__name__:<16}{ours:>12.0f}{theirs:>12.0f}{ours / theirs:>8.2f}")


if __name__ == "__main__":
    main()
