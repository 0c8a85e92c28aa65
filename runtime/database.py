"""What a database says of itself: one connection a node, one query a sample, and no wait without an end.

A server that is frozen, not dead, keeps its connections: the kernel goes on acknowledging for it, so that neither keepalives nor
TCP's own time-outs end the wait for its answer. Here every wait on a socket has a deadline, the opening of a connection included.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

RV = TypeVar("RV")

SUPERUSER = {"username": "postgres", "password": "postgres"}  # as runtime/images/schema.sql makes it
CONNECT_WITHIN_S = 2.0
STATE_WITHIN_S = 2.0  # a look at a node: connecting and its answer together
QUERY_WITHIN_S = 60.0  # a statement of a runbook: it may wait for a checkpoint of a busy disk
READABLE = select.POLLIN | select.POLLHUP | select.POLLERR
WRITABLE = select.POLLOUT | select.POLLHUP | select.POLLERR
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
# What decides whether a commit outlives a power loss. Each but synchronous_commit is the server's alone.
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums", "wal_level", "wal_sync_method")
# The server's word, and what roles, databases and functions set instead of it where the bank's statements run.
DURABILITY_QUERY = """
WITH instead AS (
  SELECT concat_ws(' in ', CASE WHEN setrole <> 0 THEN 'role ' || setrole::regrole END,
                   CASE WHEN setdatabase <> 0 THEN 'database ' || current_database() END) AS place, unnest(setconfig) AS setting
    FROM pg_db_role_setting
   WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  UNION ALL SELECT 'function ' || oid::regproc, unnest(proconfig) FROM pg_proc WHERE proconfig IS NOT NULL
)
SELECT (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name = ANY(%s))::text,
       (SELECT coalesce(json_agg(json_build_object('place', coalesce(nullif(place, ''), 'everybody'),
               'name', split_part(setting, '=', 1), 'value', split_part(setting, '=', 2)) ORDER BY place, setting), '[]')
          FROM instead WHERE split_part(setting, '=', 1) = ANY(%s))::text
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

    def named(self, names: Mapping[str, str]) -> DatabaseState:
        """The same with nodes' names, where copies call themselves otherwise: in `replication`, and in `sync_names`, quoted."""
        if not names:
            return self
        listed = re.sub(r'"?\b(\w+)\b"?', lambda m: f'"{names[m[1]]}"' if m[1] in names else m[0], self.sync_names)
        copies = sorted(({**r, "name": names.get(r["name"], r["name"])} for r in self.replication), key=lambda r: str(r["name"]))
        return replace(self, sync_names=listed, replication=copies)

    def streams_to(self, node: str) -> bool:
        return any(r["name"] == node and r["state"] == "streaming" for r in self.replication)


@dataclass(frozen=True)
class Durability:
    """What a database says of its commits: `settings` by name; `overrides`, each {place, name, value}, that count instead."""

    settings: dict[str, str]
    overrides: list[dict[str, str]]


class TimedConnection(psycopg.Connection[Any]):
    """A connection of which every wait ends at `deadline` (seconds of the monotonic clock), with psycopg.OperationalError."""

    deadline = float("inf")
    patience_s = 0.0  # what to say that it waited

    def wait(self, gen: Generator[Any, Any, RV], *_: Any, **__: Any) -> RV:
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(socket_ready(self.pgconn.socket, int(wanted), self.deadline, self.patience_s))
        except StopIteration as ended:
            value: RV = ended.value
            return value


def socket_ready(socket: int, wanted: int, deadline: float, patience_s: float) -> int:
    """Wait until a socket can be read (1) or written (2): which of them. Raises psycopg.OperationalError at the deadline."""
    poll = select.poll()
    poll.register(socket, (select.POLLIN if wanted & 1 else 0) | (select.POLLOUT if wanted & 2 else 0))
    left_ms = max(0.0, deadline - time.monotonic()) * 1000
    found = poll.poll(None if left_ms == float("inf") else left_ms)
    if not found:
        raise psycopg.OperationalError(f"no answer within {patience_s:g} s")
    events = found[0][1]
    return (1 if wanted & 1 and events & READABLE else 0) | (2 if wanted & 2 and events & WRITABLE else 0) or wanted


def connect(conninfo: str, *, within_s: float) -> TimedConnection:
    """Raises psycopg.OperationalError when it is not open in time. libpq's own connect_timeout is whole seconds, two at least."""
    deadline = time.monotonic() + within_s
    opening = pq.PGconn.connect_start(conninfo.encode())
    try:
        while (status := opening.connect_poll()) != pq.PollingStatus.OK:
            if status == pq.PollingStatus.FAILED:
                raise psycopg.OperationalError(opening.error_message.decode(errors="replace"))
            socket_ready(opening.socket, 1 if status == pq.PollingStatus.READING else 2, deadline, within_s)
    except BaseException:
        opening.finish()
        raise
    opening.nonblocking = 1
    connection = TimedConnection(opening)
    connection.autocommit = True
    return connection


class Database:
    """A lasting connection to one node, opened again when it breaks. Not for use from several threads at once."""

    def __init__(self, address: str, *, port: int = 5432, database: str = "bank") -> None:
        self.conninfo = make_conninfo(
            hostaddr=address,
            port=port,
            dbname=database,
            user=SUPERUSER["username"],
            password=SUPERUSER["password"],
            tcp_user_timeout=2000,
            keepalives_idle=2,
            keepalives_interval=1,
            keepalives_count=3,
            application_name="drillbook",
        )
        self.connection: TimedConnection | None = None

    def connected(self, *, within_s: float) -> TimedConnection:
        """The connection, with that time left for what is asked on it."""
        deadline = time.monotonic() + within_s
        if self.connection is None or self.connection.closed:
            self.connection = connect(self.conninfo, within_s=min(within_s, CONNECT_WITHIN_S))
        self.connection.deadline, self.connection.patience_s = deadline, within_s
        return self.connection

    def state(self, *, within_s: float = STATE_WITHIN_S) -> DatabaseState:
        """Raises psycopg.Error when the node does not answer in time."""
        row = self.query(STATE_QUERY, within_s=within_s)[0]
        return DatabaseState(row[0], row[1], row[2], row[3], row[4], json.loads(row[5]))

    def durability(self, *, within_s: float = STATE_WITHIN_S) -> Durability:
        """Raises psycopg.Error when the node does not answer in time."""
        row = self.query(DURABILITY_QUERY, list(DURABILITY), list(DURABILITY), within_s=within_s)[0]
        return Durability(json.loads(row[0]), json.loads(row[1]))

    def query(self, sql: str, *parameters: Any, within_s: float = QUERY_WITHIN_S) -> list[tuple[Any, ...]]:
        """The rows; none where the statement has no result. Raises psycopg.Error, at `within_s` at the latest."""
        try:
            cursor = self.connected(within_s=within_s).execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            self.close()
            raise

    def copy(self, table: str) -> bytes:
        """One of the bank's tables as CSV, sorted as docs/evidence.md says. Raises psycopg.Error when the node falls silent."""
        out = bytearray()
        connection = self.connected(within_s=QUERY_WITHIN_S)
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY ({COPY_QUERIES[table]}) TO STDOUT (FORMAT csv, HEADER)") as data,
        ):
            for block in data:
                connection.deadline = time.monotonic() + QUERY_WITHIN_S  # long tables take long: silence is what ends it
                out += block
        return bytes(out)

    def close(self) -> None:
        if self.connection is not None:
            with contextlib.suppress(psycopg.Error):
                self.connection.close()
            self.connection = None


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
