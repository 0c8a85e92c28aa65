"""The first state again, between two cycles on one topology: copies, primary, store and books as when the first cycle began."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from harness import runbooks
from judging.evidence import EventLog, Plan
from runtime.cluster import Cluster, ClusterError
from runtime.database import Database, wait_for
from runtime.manager import manager_of
from runtime.redundancy import fully_redundant, replayed
from runtime.startup import held_twice, pay, two_places

WITHIN_S = 60.0
TABLES = ("payments", "entries")
# One statement, so one transaction: whoever still waits for its copies holds the tables, and this waits for it.
CLOSE_BOOKS = """
DO $$ BEGIN
  PERFORM set_config('lock_timeout', '30s', true);
  LOCK TABLE payments, entries, accounts IN ACCESS EXCLUSIVE MODE;
  UPDATE accounts SET opening_minor = balance_minor WHERE opening_minor <> balance_minor;
  TRUNCATE payments, entries;
END $$
"""
DoorClosed = Callable[[Cluster, EventLog], AbstractContextManager[None]]


def first_state_again(cluster: Cluster, plan: Plan, events: EventLog, *, home: str, door_closed: DoorClosed) -> None:
    """Every copy streams, the primary stands in the center `home`, the store's leader in its place, and the books are closed.

    Raises ClusterError, TimeoutError, OSError or psycopg.Error where that can't be had.
    """
    if rebuilt := runbooks.rejoin_standbys(cluster):
        events.write("progress", f"rebuilt before this cycle: {', '.join(rebuilt)}")
    if moved := runbooks.move_primary_home(cluster, home):
        events.write("progress", f"before this cycle the primary's role was handed back, as planned: to {moved} in {home}")
    for group in cluster.topology.groups:
        manager_of(group).first_state(cluster, group)
    wait_for(lambda: fully_redundant(cluster), within_s=WITHIN_S, what="full redundancy", every_s=0.2)
    with door_closed(cluster, events):
        close_books(cluster, events)
    key = f"{plan.run_id}-ready-0001"
    wait_for(lambda: pay(cluster, key), within_s=WITHIN_S, what="a payment through the front door", every_s=0.05)
    where = two_places(cluster.topology)
    wait_for(lambda: held_twice(cluster, key), within_s=WITHIN_S, what=f"that payment {where}")
    events.write("ready", f"the first state again: a payment came back through the front door, held {where}")


def close_books(cluster: Cluster, events: EventLog) -> None:
    """Balances become opening balances, and the payments go, which the cycle before has sealed: so each cycle stands alone."""
    wait_for(lambda: replayed(cluster), within_s=WITHIN_S, what="every copy to replay what the primary had", every_s=0.2)
    primary = cluster.wait_primary(within_s=10).name
    with contextlib.closing(Database(cluster.addresses.node(primary))) as database:
        keys = [row[0] for row in database.query("SELECT key FROM payments ORDER BY key")]
        database.query(CLOSE_BOOKS, within_s=WITHIN_S)
    wait_for(lambda: books_are_empty(cluster), within_s=WITHIN_S, what="empty books on every copy", every_s=0.1)
    events.write(
        "books_closed",
        f"the books are closed: balances are carried forward, and {len(keys)} payments of the cycle before are out of every copy",
        source="databases",
        node=primary,
        payments=len(keys),
        sha256=hashlib.sha256("\n".join(keys).encode()).hexdigest(),
    )


def books_are_empty(cluster: Cluster) -> bool:
    for node in cluster.databases():
        for table in TABLES:
            if rows := cluster.sql(node.name, f"SELECT count(*) FROM {table}")[0][0]:
                raise ClusterError(f"{node.name} still holds {rows} {table}")
    return True
