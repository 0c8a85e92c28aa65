"""What an edge has authorised by itself: a SQLite file that is synced at every commit. The standard library alone.

`python3 edge_store.py FILE SINCE` prints it as the run directory has it: the payments authorised at or after the wall time SINCE
(RFC 3339, UTC), as CSV in the byte order of their keys.
"""

from __future__ import annotations

import csv
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

FULL = 2  # PRAGMA synchronous: a commit has reached the disk when it returns
COLUMNS = ("key", "debit", "credit", "amount_minor", "authorised_at", "forwarded_at", "status")
SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
  number        INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they were authorised, and are forwarded
  key           TEXT NOT NULL UNIQUE,
  debit         TEXT NOT NULL,
  credit        TEXT NOT NULL,
  amount_minor  INTEGER NOT NULL,
  authorised_at TEXT NOT NULL,
  forwarded_at  TEXT,     -- when the center answered
  status        INTEGER   -- what it answered: 201, 200, or a refusal that somebody has to look at
);
CREATE INDEX IF NOT EXISTS unforwarded ON payments (debit) WHERE status IS NULL;
CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Payment(NamedTuple):
    key: str
    debit: str
    credit: str
    amount_minor: int


class Held(NamedTuple):
    payment: Payment
    authorised_at: str
    status: int | None  # None: not forwarded yet


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Store:
    """`authorise`, `settle` and `know` write, and are called by one thread at a time; the rest reads and waits for nobody."""

    def __init__(self, path: str) -> None:
        self.writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.writer.execute("PRAGMA journal_mode = WAL")
        self.writer.execute(f"PRAGMA synchronous = {FULL}")
        self.writer.executescript(SCHEMA)
        self.reader = sqlite3.connect(path, isolation_level=None)
        self.synchronous: int = self.writer.execute("PRAGMA synchronous").fetchone()[0]

    def close(self) -> None:
        self.reader.close()
        self.writer.close()

    def authorise(self, payments: Sequence[Payment], *, account_limit_minor: int) -> list[str]:
        """Store them at one sync; when this returns, they are on the disk.

        Of each: `authorised`; `again` (it stands already); `conflict` (another one of its key does); `over` (its debit account
        would owe more than the limit to what is not forwarded yet).
        """
        self.writer.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [self._authorise(one, account_limit_minor) for one in payments]
            self.writer.execute("COMMIT")
        except BaseException:
            self.writer.execute("ROLLBACK")
            raise
        return outcomes

    def _authorise(self, payment: Payment, limit_minor: int) -> str:
        standing = _held(self.writer, payment.key)
        if standing is not None:
            return "again" if standing.payment == payment else "conflict"
        query = "SELECT coalesce(sum(amount_minor), 0) FROM payments WHERE debit = ? AND status IS NULL"
        owed: int = self.writer.execute(query, (payment.debit,)).fetchone()[0]
        if owed + payment.amount_minor > limit_minor:
            return "over"
        self.writer.execute(
            "INSERT INTO payments (key, debit, credit, amount_minor, authorised_at) VALUES (?, ?, ?, ?, ?)", (*payment, now())
        )
        return "authorised"

    def settle(self, answered: Iterable[tuple[str, int]]) -> None:
        """What the center answered to payments that were forwarded: (key, status)."""
        self.writer.execute("BEGIN IMMEDIATE")
        query = "UPDATE payments SET forwarded_at = ?, status = ? WHERE key = ?"
        self.writer.executemany(query, [(now(), status, key) for key, status in answered])
        self.writer.execute("COMMIT")

    def know(self, accounts: Iterable[str]) -> None:
        self.writer.execute("BEGIN IMMEDIATE")
        self.writer.executemany("INSERT OR IGNORE INTO accounts VALUES (?)", [(one,) for one in accounts])
        self.writer.execute("COMMIT")

    def knows(self, *accounts: str) -> bool:
        """Whether the center has told of all these accounts."""
        return all(self.reader.execute("SELECT 1 FROM accounts WHERE id = ?", (one,)).fetchone() for one in accounts)

    def held(self, key: str) -> Held | None:
        return _held(self.reader, key)

    def unforwarded(self) -> int:
        count: int = self.reader.execute("SELECT count(*) FROM payments WHERE status IS NULL").fetchone()[0]
        return count

    def next(self, most: int) -> list[Payment]:
        """The first ones that are not forwarded yet, in order."""
        query = "SELECT key, debit, credit, amount_minor FROM payments WHERE status IS NULL ORDER BY number LIMIT ?"
        return [Payment(*row) for row in self.reader.execute(query, (most,))]


def _held(connection: sqlite3.Connection, key: str) -> Held | None:
    query = "SELECT key, debit, credit, amount_minor, authorised_at, status FROM payments WHERE key = ?"
    row = connection.execute(query, (key,)).fetchone()
    return None if row is None else Held(Payment(*row[:4]), *row[4:])


def rows(path: str, since: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = f"SELECT {', '.join(COLUMNS)} FROM payments WHERE authorised_at >= ? ORDER BY key"
        return connection.execute(query, (since,)).fetchall()
    finally:
        connection.close()


if __name__ == "__main__":
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    out.writerows(rows(sys.argv[1], sys.argv[2]))
