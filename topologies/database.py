"""What a database says of itself: one connection a node, short time-outs, one query a sample."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from topologies.nodes import SUPERUSER

CONNECT_S = 2  # libpq's smallest
STATE_QUERY = """
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver)
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
       (CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
             ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint,
       (pg_last_wal_replay_lsn() - '0/0')::bigint,
       current_setting('synchronous_standby_names'),
       (SELECT coalesce(json_agg(json_build_object('name', application_name, 'state', state, 'sync_state', sync_state,
               'flush_lsn', (flush_lsn - '0/0')::bigint) ORDER BY application_name), '[]')::text
          FROM pg_stat_replication WHERE application_name NOT LIKE 'pg_basebackup%')
"""
COPY_QUERIES = {
    "payments": "SELECT key, debit, credit, amount_minor, to_char(committed_at AT TIME ZONE 'UTC', "
    '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') AS committed_at FROM payments ORDER BY key',
    "entries": "SELECT key, account, amount_minor FROM entries ORDER BY key, account",
    "accounts": "SELECT id, opening_minor, balance_minor FROM accounts ORDER BY id",
}


@dataclass(frozen=True)
class DatabaseState:
    """One answer. LSNs in bytes from 0/0; `replication` is what pg_stat_replication showed (empty on a standby)."""

    in_recovery: bool
    timeline: int | None
    flush_lsn: int | None
    replay_lsn: int | None
    sync_names: str
    replication: list[dict[str, Any]]

    def streams_to(self, node: str) -> bool:
        return any(r["name"] == node and r["state"] == "streaming" for r in self.replication)


class Database:
    """A lasting connection to one node, opened again when it breaks. Not for use from several threads at once."""

    def __init__(self, address: str, *, database: str = "bank") -> None:
        self.address = address
        self.database = database
        self.connection: psycopg.Connection[Any] | None = None

    def connected(self) -> psycopg.Connection[Any]:
        if self.connection is None or self.connection.closed:
            self.connection = psycopg.connect(
                host=self.address,
                dbname=self.database,
                user=SUPERUSER["username"],
                password=SUPERUSER["password"],
                connect_timeout=CONNECT_S,
                tcp_user_timeout=2000,
                keepalives_idle=2,
                keepalives_interval=1,
                keepalives_count=3,
                application_name="drillbook",
                autocommit=True,
            )
        return self.connection

    def state(self) -> DatabaseState:
        """Raises psycopg.Error when the node does not answer."""
        row = self.query(STATE_QUERY)[0]
        return DatabaseState(row[0], row[1], row[2], row[3], row[4], json.loads(row[5]))

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        try:
            cursor = self.connected().execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            self.close()
            raise

    def copy(self, table: str) -> bytes:
        """One of the bank's tables as CSV, sorted as docs/evidence.md says."""
        out = bytearray()
        with (
            self.connected().cursor() as cursor,
            cursor.copy(f"COPY ({COPY_QUERIES[table]}) TO STDOUT (FORMAT csv, HEADER)") as data,
        ):
            for block in data:
                out += block
        return bytes(out)

    def close(self) -> None:
        if self.connection is not None:
            with contextlib.suppress(psycopg.Error):
                self.connection.close()
            self.connection = None


@contextlib.contextmanager
def opened(address: str, *, database: str = "bank") -> Iterator[Database]:
    one = Database(address, database=database)
    try:
        yield one
    finally:
        one.close()


def wait_for(condition: Any, *, within_s: float, what: str, every_s: float = 0.05) -> Any:
    """The first true value of `condition()`. Raises TimeoutError that says what it waited for and what it saw last."""
    deadline = time.monotonic() + within_s
    while True:
        seen: object
        try:
            if value := condition():
                return value
            seen = value
        except Exception as error:  # whatever is not there yet may come
            seen = error
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {within_s:g} s for {what}; seen last: {' '.join(str(seen).split()) or 'nothing'}")
        time.sleep(every_s)
