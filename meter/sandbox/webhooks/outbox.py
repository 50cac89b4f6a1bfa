"""Events that are still to be delivered: rows that are written in the transaction of the change that they tell of."""

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import msgspec

from meter.sandbox.rest.calls import LIVE
from meter.sandbox.webhooks.events import Event
from meter.sandbox.webhooks.open_debits import OpenDebits

OUTBOX_SCHEMA = """
CREATE TABLE IF NOT EXISTS webhook_endpoints (
    reference TEXT PRIMARY KEY, environment INTEGER, url TEXT, secret TEXT, events TEXT, created_at REAL,
    disabled_at REAL);
CREATE TABLE IF NOT EXISTS deliveries (
    row INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT, event_id TEXT, type TEXT, body BLOB, at REAL, due_at REAL,
    attempts INTEGER, state TEXT, answer TEXT);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (endpoint, due_at) WHERE state = 'waiting';
"""
API_VERSION = "2025-10-01"
CONFIGURED_PREFIX = "we_CONFIGURED"
KEPT_ROWS = 10_000
"""So many of the latest deliveries can be looked at; older ones are forgotten once they have ended."""

_INSERT = """INSERT INTO deliveries (endpoint, event_id, type, body, at, due_at, attempts, state)
    VALUES (?, ?, ?, ?, ?, ?, 0, 'waiting')"""
_COLUMNS = "row, endpoint, event_id, type, body, at, due_at, attempts, state, answer"


class Endpoint(NamedTuple):
    """Where events of an environment go; no `events` means all types."""

    reference: str
    environment: int
    url: str
    secret: str
    events: tuple[str, ...]
    created_at: float
    disabled_at: float | None = None

    def wants(self, event: Event) -> bool:
        """Whether the event is to be delivered here."""
        ours = self.disabled_at is None and self.environment == event.environment
        return ours and (not self.events or event.type in self.events)


class Delivery(NamedTuple):
    """One event on its way to one endpoint; `state` is waiting, delivered or given_up."""

    row: int
    endpoint: str
    event_id: str
    type: str
    body: bytes
    at: float
    due_at: float
    attempts: int
    state: str
    answer: str | None


class Outbox:
    """The rows in the store's database; what is one statement is one transaction, unless one is open already."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self._configured: tuple[Endpoint, ...] = ()
        self.low_balance_credits = 0
        self.delay_seconds = 0.0
        """Every event waits for a random part of this."""
        self.written: Callable[[], None] = lambda: None
        """Called whenever something may be due earlier than before."""
        self._db = db
        self._open = OpenDebits()
        self._silent = False
        self._random = Random(0)  # noqa: S311  # no secret depends on it

    def load(self) -> None:
        """Read the endpoints."""
        rows = self._db.execute("SELECT * FROM webhook_endpoints ORDER BY rowid")
        found = [
            Endpoint(reference, environment, url, secret, tuple(msgspec.json.decode(events)), created_at, disabled_at)
            for reference, environment, url, secret, events, created_at, disabled_at in rows
        ]
        self.endpoints = {endpoint.reference: endpoint for endpoint in found}

    @property
    def listened_to(self) -> bool:
        """Whether anybody wants events; if not, none need to be made."""
        return not self._silent and any(endpoint.disabled_at is None for endpoint in self.endpoints.values())

    @contextmanager
    def silent(self) -> Iterator[None]:
        """What happens inside the block is no news."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def tell(self, events: Sequence[Event]) -> None:
        """Write events for those who want them, as part of the transaction that is open."""
        for event in events:
            event_id = f"evt_{secrets.token_hex(12)}"
            for endpoint in self.endpoints.values():
                if endpoint.wants(event):
                    self._write(endpoint.reference, event, event_id)
        if events:
            self.written()

    def rolled_back(self) -> None:
        """The transaction in which something was told, or everything forgotten, has failed."""
        self._open.clear()
        self.load()

    def keep(self, endpoint: Endpoint) -> None:
        """A new endpoint, or one that has changed."""
        self._db.execute(
            "INSERT OR REPLACE INTO webhook_endpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
            endpoint._replace(events=msgspec.json.encode(endpoint.events).decode()),  # type: ignore[arg-type]  # a column
        )
        self.endpoints[endpoint.reference] = endpoint
        self.written()

    def configure(self, endpoints: Sequence[Endpoint]) -> None:
        """Endpoints that are there from the start, after a reset as well, in place of those of an earlier start."""
        self._configured = tuple(endpoints)
        names = {endpoint.reference for endpoint in endpoints}
        for reference in [each for each in self.endpoints if each.startswith(CONFIGURED_PREFIX) and each not in names]:
            self.forget(reference)
        for endpoint in endpoints:
            self.keep(endpoint)

    def reset(self) -> None:
        """Forget all deliveries and all endpoints but the configured ones; the store decides when."""
        self._db.execute("DELETE FROM deliveries")
        self._db.execute("DELETE FROM webhook_endpoints")
        self.endpoints.clear()
        self._open.clear()
        self.configure(self._configured)

    def forget(self, reference: str) -> None:
        """An endpoint less; what was on its way to it is given up."""
        self._db.execute("DELETE FROM webhook_endpoints WHERE reference = ?", (reference,))
        self._db.execute(
            "UPDATE deliveries SET state = 'given_up' WHERE endpoint = ? AND state = 'waiting'", (reference,)
        )
        self.endpoints.pop(reference, None)

    def take(self, endpoint: str, now: float, limit: int) -> list[Delivery]:
        """Up to `limit` deliveries that are due, first those that have been due for longest; they change no more."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM deliveries WHERE endpoint = ? AND state = 'waiting' AND due_at <= ?"  # noqa: S608  # constant
            " ORDER BY due_at, row LIMIT ?",
            (endpoint, now, limit),
        )
        taken = [Delivery(*row) for row in rows]
        for delivery in taken:
            self._open.close(delivery.row)
        return taken

    def next_due(self, endpoint: str) -> float | None:
        """When the next delivery is due, in Unix seconds; None when none waits."""
        found: float | None = self._db.execute(
            "SELECT MIN(due_at) FROM deliveries WHERE endpoint = ? AND state = 'waiting'", (endpoint,)
        ).fetchone()[0]
        return found

    def attempted(self, delivery: Delivery, answer: str, *, state: str, due_at: float) -> None:
        """What came of an attempt. Old rows that have ended make room."""
        self._db.execute(
            "UPDATE deliveries SET attempts = attempts + 1, state = ?, due_at = ?, answer = ? WHERE row = ?",
            (state, due_at, answer, delivery.row),
        )
        if delivery.row % 100 == 0:
            oldest = delivery.row - KEPT_ROWS
            self._db.execute("DELETE FROM deliveries WHERE row < ? AND state <> 'waiting'", (oldest,))

    def send_again(self, rows: Sequence[int] | None, now: float) -> int:
        """Make deliveries due now: those in `rows`, whatever became of them, or all that wait; how many."""
        if rows is None:
            changed = self._db.execute("UPDATE deliveries SET due_at = ? WHERE state = 'waiting'", (now,)).rowcount
        else:
            changed = sum(
                self._db.execute(
                    "UPDATE deliveries SET state = 'waiting', attempts = 0, due_at = ? WHERE row = ?", (now, row)
                ).rowcount
                for row in rows
            )
        self.written()
        return changed

    def _write(self, endpoint: str, event: Event, event_id: str) -> None:
        """A row, or more in one that nobody has begun to send."""
        debit = self._open.grown(endpoint, event)
        if debit is not None:
            body = _encoded(debit.event, debit.event_id)
            self._db.execute("UPDATE deliveries SET body = ? WHERE row = ?", (body, debit.row))
            return
        due_at = event.at + (self.delay_seconds and self._random.uniform(0, self.delay_seconds))
        values = (endpoint, event_id, event.type, _encoded(event, event_id), event.at, due_at)
        self._open.open(endpoint, self._db.execute(_INSERT, values).lastrowid or 0, event_id, event)

    def after(self, row: int, limit: int) -> list[Delivery]:
        """Up to `limit` deliveries behind `row`, in the order in which they were written."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE row > ? ORDER BY row LIMIT ?", (row, limit))  # noqa: S608  # constant
        return [Delivery(*found) for found in rows]

    def latest(self, environment: int, limit: int) -> tuple[int, list[Delivery]]:
        """How many deliveries to an environment's endpoints are kept, and up to `limit` of them, the latest first."""
        where = "FROM deliveries WHERE endpoint IN (SELECT reference FROM webhook_endpoints WHERE environment = ?)"
        (count,) = self._db.execute(f"SELECT COUNT(*) {where}", (environment,)).fetchone()
        rows = self._db.execute(f"SELECT {_COLUMNS} {where} ORDER BY row DESC LIMIT ?", (environment, limit))
        return count, [Delivery(*found) for found in rows]


def _encoded(event: Event, event_id: str) -> bytes:
    return msgspec.json.encode(envelope(event, event_id))


def envelope(event: Event, event_id: str) -> dict[str, Any]:
    """The event as it is sent."""
    return {
        "id": event_id,
        "type": event.type,
        "created": int(event.at),
        "api_version": API_VERSION,
        "data": {"object": event.object, "previous_attributes": event.previous},
        "livemode": event.environment == LIVE,
        "request": {"id": None, "idempotency_key": event.idempotency_key},
    }
