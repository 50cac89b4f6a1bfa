"""Credits: every change of a customer's credits is a row, and the balance is the sum of the rows."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

LEDGER_SCHEMA = """
CREATE TABLE IF NOT EXISTS credits (
    row INTEGER PRIMARY KEY, environment INTEGER, customer_ref TEXT, kind TEXT, amount INTEGER, balance INTEGER,
    at REAL, usage_row INTEGER, reason TEXT, idempotency_key TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS credits_by_key
    ON credits (idempotency_key, environment) WHERE idempotency_key IS NOT NULL;
"""
_INSERT = """INSERT INTO credits
    (environment, customer_ref, kind, amount, balance, at, usage_row, reason, idempotency_key)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""


class Credit(NamedTuple):
    """One change: `amount` is signed, `balance` is what it led to, `kind` is GRANT, TOPUP, USAGE or REFUND."""

    environment: int
    customer_ref: str
    kind: str
    amount: int
    balance: int
    at: float
    usage_row: int | None = None
    reason: str | None = None
    idempotency_key: str | None = None


class Ledger:
    """The rows in the store's database, and the balances in memory; the store decides what one transaction is."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._balances: dict[tuple[int, str], int] = {}

    def load(self) -> None:
        """Read the balances."""
        sums = self._db.execute("SELECT environment, customer_ref, SUM(amount) FROM credits GROUP BY 1, 2")
        self._balances = {(environment, customer_ref): balance for environment, customer_ref, balance in sums}

    def balance(self, environment: int, customer_ref: str) -> int:
        """Credits that the customer has."""
        return self._balances.get((environment, customer_ref), 0)

    def find(self, environment: int, idempotency_key: str) -> Credit | None:
        """The row that was written with this key."""
        found = self._db.execute(
            """SELECT environment, customer_ref, kind, amount, balance, at, usage_row, reason, idempotency_key
                FROM credits WHERE idempotency_key = ? AND environment = ?""",
            (idempotency_key, environment),
        ).fetchone()
        return Credit(*found) if found else None

    def write(self, credits_changed: Sequence[Credit]) -> None:
        """Write rows, as part of the transaction that is open."""
        if credits_changed:
            self._db.executemany(_INSERT, credits_changed)

    def settle(self, credits_changed: Sequence[Credit]) -> None:
        """Take rows into the balances, once their transaction is committed."""
        for credit in credits_changed:
            key = (credit.environment, credit.customer_ref)
            self._balances[key] = self._balances.get(key, 0) + credit.amount
