"""Where the sandbox keeps everything: one SQLite file or memory, one transaction a call, nothing acknowledged lost."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from meter.sandbox.timestamps import month_of
from meter.sandbox.usages import Usage

# Idempotency keys are random, so every call touches pages all over their index: they stay in memory (64 MiB) and go
# to the file only once the log holds 10,000 pages. Twice as fast as SQLite's own 2 MiB and 1,000.
_PRAGMAS = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -65536;
PRAGMA wal_autocheckpoint = 10000;
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS usages (
    row INTEGER PRIMARY KEY, environment INTEGER, recorded_at REAL,
    customer_ref TEXT, product_ref TEXT, purchase_ref TEXT, action_type TEXT, units INTEGER, outcome TEXT,
    idempotency_key TEXT, timestamp TEXT, metadata BLOB, duration REAL, description TEXT, error_message TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS usages_by_key
    ON usages (idempotency_key, environment) WHERE idempotency_key IS NOT NULL;
CREATE TABLE IF NOT EXISTS used (
    environment INTEGER, customer_ref TEXT, product_ref TEXT, month TEXT, units INTEGER,
    PRIMARY KEY (environment, customer_ref, product_ref, month)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    environment INTEGER, kind TEXT, reference TEXT, body BLOB,
    PRIMARY KEY (environment, kind, reference)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
INSERT OR IGNORE INTO counters VALUES ('duplicates', 0), ('next_row', 1);
"""
_INSERT = "INSERT INTO usages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_ADD_USED = """INSERT INTO used VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET units = units + excluded.units"""


class CannotOpenError(Exception):
    """The data file cannot be used; says why in one sentence."""


class Recorded(NamedTuple):
    """Where a usage stands: its row, and whether an earlier one with the same key had taken it."""

    row: int
    duplicate: bool


class StoredUsage(NamedTuple):
    """A row as it is kept; `usage` is what was sent."""

    row: int
    environment: int
    recorded_at: float
    usage: Usage


class Totals(NamedTuple):
    """Rows kept, the sum of their units, and how many repeats were answered with an earlier row."""

    usages: int
    units: int
    duplicates: int


class Store:
    """Everything the sandbox knows. `path` None keeps it in memory. Raises CannotOpenError.

    The file is locked for this process; a write is on its way to the disk when the method returns, and survives
    the process being killed (not the machine losing power).
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=1)
            self._db.executescript(_PRAGMAS + _SCHEMA)
            self._next_row, self._totals = self._counted()
        except sqlite3.Error as error:
            raise CannotOpenError(f"cannot use {path} as the sandbox's data file: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def record(self, environment: int, usages: Sequence[Usage], now: float) -> list[Recorded]:
        """Keep `usages` in one transaction, each key once; the first with a key wins, within the call as well."""
        first = self._next_row
        rows = [
            (row, environment, now, *msgspec.structs.astuple(usage)) for row, usage in enumerate(usages, start=first)
        ]
        with self._transaction():
            inserted = self._db.executemany(_INSERT, rows).rowcount if rows else 0
            if inserted == len(rows):
                recorded = [Recorded(row[0], duplicate=False) for row in rows]
            else:
                recorded = self._resolve(environment, usages, first)
            kept = [usage for usage, place in zip(usages, recorded, strict=True) if not place.duplicate]
            self._add_used(environment, kept, now)
            repeats = len(rows) - len(kept)
            if repeats:
                self._db.execute("UPDATE counters SET value = value + ? WHERE name = 'duplicates'", (repeats,))
        self._next_row = first + len(rows)
        units = sum(usage.units for usage in kept)
        before = self._totals
        self._totals = Totals(before.usages + len(kept), before.units + units, before.duplicates + repeats)
        return recorded

    def used_units(self, environment: int, customer_ref: str, product_ref: str, month: str) -> int:
        """Units of successful usage of the calendar month `YYYY-MM`."""
        row = self._db.execute(
            "SELECT units FROM used WHERE environment = ? AND customer_ref = ? AND product_ref = ? AND month = ?",
            (environment, customer_ref, product_ref, month),
        ).fetchone()
        return row[0] if row else 0

    def totals(self) -> Totals:
        """Sums over both environments."""
        return self._totals

    def usages_after(self, row: int, limit: int) -> list[StoredUsage]:
        """Up to `limit` usages behind `row`, in the order in which they were kept."""
        rows = self._db.execute("SELECT * FROM usages WHERE row > ? ORDER BY row LIMIT ?", (row, limit))
        return [StoredUsage(row, environment, at, Usage(*sent)) for row, environment, at, *sent in rows]

    def put_objects(self, environment: int, kind: str, bodies: Iterable[tuple[str, bytes]]) -> None:
        """Keep objects of the catalogue under their references, all or none."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)",
                [(environment, kind, reference, body) for reference, body in bodies],
            )

    def objects(self, kind: str) -> list[tuple[int, bytes]]:
        """Environment and body of every object of a kind."""
        return self._db.execute("SELECT environment, body FROM objects WHERE kind = ?", (kind,)).fetchall()

    def reset(self) -> None:
        """Forget everything; references already given out are not given out again."""
        with self._transaction():
            for table in ("usages", "used", "objects"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608  # a name from the line above
            self._db.execute("UPDATE counters SET value = 0 WHERE name = 'duplicates'")
            self._db.execute("UPDATE counters SET value = ? WHERE name = 'next_row'", (self._next_row,))
        self._totals = Totals(0, 0, 0)

    def _counted(self) -> tuple[int, Totals]:
        usages, units, last = self._db.execute("SELECT COUNT(*), TOTAL(units), MAX(row) FROM usages").fetchone()
        counters: dict[str, Any] = dict(self._db.execute("SELECT name, value FROM counters"))
        next_row = max((last or 0) + 1, counters["next_row"])
        return next_row, Totals(usages, int(units), counters["duplicates"])

    def _resolve(self, environment: int, usages: Sequence[Usage], first: int) -> list[Recorded]:
        """Find the earlier rows of those whose key was taken."""
        kept = {row for (row,) in self._db.execute("SELECT row FROM usages WHERE row >= ?", (first,))}
        recorded = []
        for row, usage in enumerate(usages, start=first):
            if row in kept:
                recorded.append(Recorded(row, duplicate=False))
                continue
            (earlier,) = self._db.execute(
                "SELECT row FROM usages WHERE idempotency_key = ? AND environment = ?",
                (usage.idempotency_key, environment),
            ).fetchone()
            recorded.append(Recorded(earlier, duplicate=True))
        return recorded

    def _add_used(self, environment: int, usages: Iterable[Usage], now: float) -> None:
        this_month = month_of(now)
        sums: dict[tuple[int, str, str, str], int] = {}
        for usage in usages:
            if usage.outcome == "success" and usage.product_ref is not None:
                month = this_month if usage.timestamp is None else usage.timestamp[:7]
                counter = (environment, usage.customer_ref, usage.product_ref, month)
                sums[counter] = sums.get(counter, 0) + usage.units
        self._db.executemany(_ADD_USED, [(*counter, units) for counter, units in sums.items()])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
