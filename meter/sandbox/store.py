"""Where the sandbox keeps everything: one SQLite file or memory, one transaction a call, nothing acknowledged lost."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from meter.sandbox.bookkeeping.counting import Counting, Counts
from meter.sandbox.bookkeeping.ledger import LEDGER_SCHEMA, Credit, Ledger
from meter.sandbox.bookkeeping.usages import Usage
from meter.sandbox.webhooks.events import Event, credit_events
from meter.sandbox.webhooks.outbox import OUTBOX_SCHEMA, Outbox

# Idempotency keys are random, so every call touches pages all over their index: they stay in memory (64 MiB) and go
# to the file only once the log holds 10,000 pages. Twice as fast as SQLite's own 2 MiB and 1,000.
_PRAGMAS = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -65536;
PRAGMA wal_autocheckpoint = 10000;
"""
_FORMAT = 0x6D657405  # "met" and the number of the schema below: one more whenever it changes
_SCHEMA = """
CREATE TABLE IF NOT EXISTS usages (
    row INTEGER PRIMARY KEY, environment INTEGER, recorded_at REAL,
    customer_ref TEXT, product_ref TEXT, purchase_ref TEXT, action_type TEXT, units INTEGER, outcome TEXT,
    idempotency_key TEXT, timestamp TEXT, metadata BLOB, duration REAL, description TEXT, error_message TEXT,
    key_expired INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS usages_by_key
    ON usages (idempotency_key, environment) WHERE idempotency_key IS NOT NULL AND key_expired IS NULL;
CREATE TABLE IF NOT EXISTS objects (
    number INTEGER PRIMARY KEY, environment INTEGER, kind TEXT, reference TEXT, body BLOB,
    UNIQUE (environment, kind, reference));
CREATE TABLE IF NOT EXISTS meter_events (
    row INTEGER PRIMARY KEY, environment INTEGER, recorded_at REAL, meter_name TEXT, customer_ref TEXT,
    product_ref TEXT, value REAL, timestamp TEXT, properties BLOB);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
INSERT OR IGNORE INTO counters VALUES ('duplicates', 0), ('next_row', 1);
"""
_LATEST_ROWS = 20_000
_INSERT = "INSERT INTO usages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING"
_EXPIRE = """UPDATE usages SET key_expired = 1
    WHERE idempotency_key = ? AND environment = ? AND key_expired IS NULL AND recorded_at <= ?"""
_PUT = """INSERT INTO objects (environment, kind, reference, body) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET body = excluded.body"""


class CannotOpenError(Exception):
    """The data file cannot be used; says why in one sentence."""


class _ForeignError(Exception):
    """The file is a good database, but not ours."""


class Recorded(NamedTuple):
    """Where a usage stands: its row, and whether an earlier one with the same key had taken it."""

    row: int
    duplicate: bool


Charge = Callable[[Sequence[Recorded]], Sequence[Credit]]
"""Tells, from where usages stand, which credits they take."""


def _free(_: Sequence[Recorded]) -> Sequence[Credit]:
    return ()


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
    the process being killed (not the machine losing power). A key is known for `key_life_seconds`, None: forever.
    """

    def __init__(
        self,
        path: Path | None = None,
        counting: Counting = Counting(),  # noqa: B008  # immutable
        key_life_seconds: float | None = None,
    ) -> None:
        self._key_life_seconds = key_life_seconds
        self._db = _connect(path)
        self.counts = Counts(counting)
        self.ledger = Ledger(self._db)
        self.outbox = Outbox(self._db)
        try:
            self._open()
            self.ledger.load()
            self.outbox.load()
            self._next_row, self._totals, self._kept = self._counted()
            self.counts.load(self._db)
        except (sqlite3.Error, _ForeignError) as error:
            self._db.close()
            raise _cannot_open(path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def record(self, environment: int, usages: Sequence[Usage], now: float, charge: Charge = _free) -> list[Recorded]:
        """Keep `usages` in one transaction, each key once; the first with a key wins, within the call as well.

        What `charge` says they cost in credits is taken, and announced, in the same transaction.
        """
        first = self._next_row
        rows = [
            (row, environment, now, *msgspec.structs.astuple(usage)) for row, usage in enumerate(usages, start=first)
        ]
        with self._transaction():
            if self._key_life_seconds is not None:
                oldest = now - self._key_life_seconds
                self._db.executemany(_EXPIRE, [(usage.idempotency_key, environment, oldest) for usage in usages])
            repeats = len(rows) - max(self._db.executemany(_INSERT, rows).rowcount, 0)
            if repeats:
                recorded = self._resolve(environment, usages, first)
                self._db.execute("UPDATE counters SET value = value + ? WHERE name = 'duplicates'", (repeats,))
            else:
                recorded = [Recorded(row[0], duplicate=False) for row in rows]
            credits_changed = charge(recorded)
            self._write_credits(credits_changed)
        self.ledger.settle(credits_changed)
        self._next_row = first + len(rows)
        kept = [usage for usage, place in zip(usages, recorded, strict=True) if not place.duplicate]
        self._add(environment, kept, repeats, now)
        return recorded

    def totals(self) -> Totals:
        """Sums over both environments."""
        return self._totals

    def kept(self, environment: int) -> tuple[int, int]:
        """How many usages one environment keeps, and their units."""
        return self._kept.get(environment, (0, 0))

    def latest_usages(self, environment: int, limit: int) -> list[StoredUsage]:
        """Up to `limit` usages of one environment, the latest first; those among the last rows of both, to be quick."""
        rows = self._db.execute(
            "SELECT * FROM usages WHERE row > ? AND environment = ? ORDER BY row DESC LIMIT ?",
            (self._next_row - _LATEST_ROWS, environment, limit),
        )
        return [StoredUsage(row, environment, at, Usage(*sent)) for row, environment, at, *sent, _ in rows]

    def usages_after(self, row: int, limit: int) -> list[StoredUsage]:
        """Up to `limit` usages behind `row`, in the order in which they were kept."""
        rows = self._db.execute("SELECT * FROM usages WHERE row > ? ORDER BY row LIMIT ?", (row, limit))
        return [StoredUsage(row, environment, at, Usage(*sent)) for row, environment, at, *sent, _ in rows]

    def keep_meter_events(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Keep meter events, as environment, Unix seconds and the columns that follow, all or none."""
        with self._transaction():
            self._db.executemany("INSERT INTO meter_events VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def put_objects(
        self,
        environment: int,
        objects: Iterable[tuple[str, str, bytes]],
        credits_changed: Sequence[Credit] = (),
        events: Sequence[Event] = (),
    ) -> None:
        """Keep objects of the catalogue, each under its kind and reference, all or none.

        With them changes of credits, which are announced, and the events that tell of the objects.
        """
        with self._transaction():
            self._db.executemany(_PUT, [(environment, *entry) for entry in objects])
            self._write_credits(credits_changed)
            self.outbox.tell(events)
        self.ledger.settle(credits_changed)

    def delete_objects(self, environment: int, names: Iterable[tuple[str, str]], events: Sequence[Event] = ()) -> None:
        """Forget objects of the catalogue, each named by kind and reference, and tell of it, all or none."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM objects WHERE environment = ? AND kind = ? AND reference = ?",
                [(environment, kind, reference) for kind, reference in names],
            )
            self.outbox.tell(events)

    def objects(self, kind: str) -> list[tuple[int, bytes]]:
        """Environment and body of every object of a kind, the oldest first."""
        found = self._db.execute("SELECT environment, body FROM objects WHERE kind = ? ORDER BY number", (kind,))
        return found.fetchall()

    def reset(self) -> None:
        """Forget everything; references already given out are not given out again."""
        with self._transaction():
            for table in ("usages", "objects", "credits", "meter_events"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608  # a name from the line above
            self._db.execute("UPDATE counters SET value = 0 WHERE name = 'duplicates'")
            self._db.execute("UPDATE counters SET value = ? WHERE name = 'next_row'", (self._next_row,))
            self.outbox.reset()
        self._totals, self._kept = Totals(0, 0, 0), {}
        self.counts.load(self._db)
        self.ledger.load()

    def _open(self) -> None:
        """Take an empty database or one of ours; never write into somebody else's."""
        tables: int = self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        mark: int = self._db.execute("PRAGMA application_id").fetchone()[0]
        if tables and mark != _FORMAT:
            raise _ForeignError("it belongs to another program or to another version of the sandbox")
        self._db.executescript(
            f"{_PRAGMAS} PRAGMA application_id = {_FORMAT}; {_SCHEMA} {LEDGER_SCHEMA} {OUTBOX_SCHEMA}"
        )

    def _write_credits(self, credits_changed: Sequence[Credit]) -> None:
        self.ledger.write(credits_changed)
        if credits_changed and self.outbox.listened_to:
            self.outbox.tell(credit_events(credits_changed, self.outbox.low_balance_credits))

    def _counted(self) -> tuple[int, Totals, dict[int, tuple[int, int]]]:
        """The next row, the totals, and usages and units of each environment."""
        sums = "SELECT environment, COUNT(*), SUM(units), MAX(row) FROM usages GROUP BY environment"
        found = self._db.execute(sums).fetchall()
        kept = {environment: (usages, units) for environment, usages, units, _ in found}
        counters: dict[str, Any] = dict(self._db.execute("SELECT name, value FROM counters"))
        next_row = max(counters["next_row"], *(last + 1 for *_, last in found), 1)
        usages, units = (sum(each) for each in zip((0, 0), *kept.values(), strict=True))
        return next_row, Totals(usages, units, counters["duplicates"]), kept

    def _resolve(self, environment: int, usages: Sequence[Usage], first: int) -> list[Recorded]:
        """Find the earlier rows of those whose key was taken."""
        kept = {row for (row,) in self._db.execute("SELECT row FROM usages WHERE row >= ?", (first,))}
        recorded = []
        for row, usage in enumerate(usages, start=first):
            if row in kept:
                recorded.append(Recorded(row, duplicate=False))
                continue
            (earlier,) = self._db.execute(
                "SELECT row FROM usages WHERE idempotency_key = ? AND environment = ? AND key_expired IS NULL",
                (usage.idempotency_key, environment),
            ).fetchone()
            recorded.append(Recorded(earlier, duplicate=True))
        return recorded

    def _add(self, environment: int, kept: Sequence[Usage], repeats: int, now: float) -> None:
        """Add new rows to the sums."""
        self.counts.add(environment, kept, now)
        units = sum(usage.units for usage in kept)
        before = self._totals
        self._totals = Totals(before.usages + len(kept), before.units + units, before.duplicates + repeats)
        usages_before, units_before = self.kept(environment)
        self._kept[environment] = usages_before + len(kept), units_before + units

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # else SQLite has ended it: a disk that is full, or broken
                self._db.execute("ROLLBACK")
            self.outbox.rolled_back()
            raise


def _connect(path: Path | None) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path or ":memory:", isolation_level=None, timeout=1)
    except sqlite3.Error as error:
        raise _cannot_open(path, error) from error


def _cannot_open(path: Path | None, reason: Exception) -> CannotOpenError:
    return CannotOpenError(f"cannot use {path} as the sandbox's data file: {reason}")
