"""Working stand-ins: they keep state and obey the same contract as the real thing (`tests/contract`)."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from meter.billing.answers import bulk_outcome, limits_outcome
from meter.billing.limits_outcome import LimitsOutcome
from meter.pipeline.outcome import Accepted, NotSent, Outcome, TryAgain


@dataclass(frozen=True)
class Fault:
    """One way to fail, once; kinds and fields as in the sandbox's `/sandbox/faults`."""

    kind: str
    status: int = 500
    retry_after_seconds: int | None = None
    message: str = "Fault injected"
    inserted: int = 0
    customers: Sequence[str] = ()
    named: bool = True


class FakeBilling:
    """The billing provider in memory: first row per key wins, repeats are answered `duplicate`.

    `faults` strike bulk calls and `limits_faults` limits questions, the first in the list first, each once.
    `refused_customers` is a lasting schema error (a 400 that names their events, or nobody if not `names_refused`).
    While `open` is not set, bulk calls wait after having been received, and before anything is inserted.
    `collisions` are keys that were in flight twice at one moment, which must never be.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.duplicates_total = 0
        self.requests_total = 0
        self.faults: list[Fault] = []
        self.limits_faults: list[Fault] = []
        self.allowances: dict[tuple[str, str], int] = {}
        self.refused_customers: set[str] = set()
        self.names_refused = True
        self.open = asyncio.Event()
        self.open.set()
        self.collisions: list[str] = []
        self._in_flight: Counter[str] = Counter()

    async def record_bulk(self, bodies: Sequence[bytes], may_send: Callable[[], bool]) -> Outcome:
        """As HttpBilling does it."""
        if not may_send():
            return NotSent()
        self.requests_total += 1
        events = [msgspec.json.decode(body) for body in bodies]
        keys = [event["idempotencyKey"] for event in events if "idempotencyKey" in event]
        self._in_flight.update(keys)
        self.collisions += [key for key in keys if self._in_flight[key] > 1]
        try:
            await self.open.wait()
            return self._answer(events, self.faults.pop(0) if self.faults else None)
        finally:
            self._in_flight.subtract(keys)

    async def check_limits(self, request: Mapping[str, object]) -> LimitsOutcome:
        """As HttpBilling does it."""
        if self.limits_faults:
            fault = self.limits_faults.pop(0)
            return limits_outcome(fault.status, _headers(fault), _error(fault.status, fault.message), 0.0)
        place = str(request.get("customerRef", "")), str(request.get("productRef", ""))
        if not all(place):
            return limits_outcome(400, {}, _error(400, "Validation failed"), 0.0)
        if place not in self.allowances:
            return limits_outcome(404, {}, _error(404, "Customer or product not found"), 0.0)
        remaining = max(self.allowances[place] - self.used_units(*place), 0)
        body: dict[str, object] = {"withinLimits": remaining > 0, "remaining": remaining, "meterName": "requests"}
        if request.get("includeCheckoutSession") and not remaining:
            body["checkoutUrl"] = "https://pay.example.com/1"
        return limits_outcome(200, {}, msgspec.json.encode(body), 0.0)

    async def close(self) -> None:
        """Nothing is held."""

    def used_units(self, customer_ref: str, product_ref: str) -> int:
        """Units of successful events."""
        return sum(
            row.get("units", 1)
            for row in self.rows.values()
            if (row["customerRef"], row.get("productRef")) == (customer_ref, product_ref)
            and row.get("outcome", "success") == "success"
        )

    def _answer(self, events: list[dict[str, Any]], fault: Fault | None) -> Outcome:
        if fault is None:
            return self._refusal(events, self.refused_customers, self.names_refused) or self._insert(events)
        match fault.kind:
            case "status":
                return _status(fault, len(events))
            case "status_after_commit":
                return self._refusal(events, (), True) or self._then(self._insert(events), _status(fault, len(events)))
            case "partial_insert":
                return self._then(self._insert(events[: fault.inserted]), _status(Fault("status"), len(events)))
            case "cut_before_commit":
                return TryAgain("connection cut", outcome_unknown=True)
            case "cut_after_commit":
                return self._then(self._insert(events), TryAgain("connection cut", outcome_unknown=True))
            case "wrong_results":
                return self._then(self._insert(events), TryAgain("too few results", outcome_unknown=True))
            case "malformed":
                return self._then(self._insert(events), TryAgain("malformed answer", outcome_unknown=True))
            case "reject_event":
                return self._refusal(events, fault.customers, fault.named) or self._insert(events)
            case _:
                raise ValueError(fault.kind)

    def _then(self, _: Accepted, told: Outcome) -> Outcome:
        """What happened, and what the caller is told instead."""
        return told

    def _refusal(
        self, events: list[dict[str, Any]], customers: Sequence[str] | set[str], named: bool
    ) -> Outcome | None:
        """A 400 for what the contract does not allow, before anything is inserted."""
        bad = [i for i, event in enumerate(events) if _is_bad(event) or event.get("customerRef") in customers]
        if not bad and len(events) <= 1000:
            return None
        errors = [{"path": ["events", index], "message": "Not accepted"} for index in bad] if named else []
        body = {"statusCode": 400, "message": "Validation failed", "errors": errors}
        return bulk_outcome(400, {}, msgspec.json.encode(body), len(events), 0.0)

    def _insert(self, events: list[dict[str, Any]]) -> Accepted:
        references: list[str] = []
        undebited: dict[int, str] = {}
        for index, event in enumerate(events):
            key = event.get("idempotencyKey", f"without-key-{len(self.rows)}")
            if key in self.rows:
                self.duplicates_total += 1
                undebited[index] = "duplicate"
            row = self.rows.setdefault(key, {**event, "reference": f"usage_{len(self.rows) + 1:08d}"})
            references.append(row["reference"])
        return Accepted(references, undebited)


def _is_bad(event: dict[str, Any]) -> bool:
    units = event.get("units", 1)
    return not event.get("customerRef") or type(units) is not int or not 0 <= units <= 100_000


def _status(fault: Fault, events_total: int) -> Outcome:
    return bulk_outcome(fault.status, _headers(fault), _error(fault.status, fault.message), events_total, 0.0)


def _headers(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after_seconds is None else {"retry-after": str(fault.retry_after_seconds)}


def _error(status: int, message: str) -> bytes:
    return msgspec.json.encode({"statusCode": status, "message": message})
