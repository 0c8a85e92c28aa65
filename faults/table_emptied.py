"""Somebody runs a statement that nobody meant, and it is committed: a table is empty, on every copy, and all goes on."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.going_back import books_differ, go_back, no_way_back
from topologies.kinds import DATABASE
from topologies.model import Check, Effect, Moment, Proof, Topology

WITH_IT = {"payments": ("payments", "entries"), "entries": ("entries",)}  # TRUNCATE … CASCADE: who refers to it is emptied, too
SEEN_WITHIN_S = 20.0


class TableEmptied:
    """`TRUNCATE table CASCADE` on the primary, by an operator who may do anything. Nothing stops, and every copy does it, too.

    Only where it can be undone: the bank has one group of databases, and that has a repository. Healed by going back to the
    moment before, where a runbook did not.
    """

    def __init__(self, table: str) -> None:
        self.target = table
        self.primary = ""
        self.xid = 0
        self.at: Any = None  # the server's time at which nobody else could write any more
        self.rows: dict[str, int] = {}  # by table: how many stood there then

    @property
    def arguments(self) -> dict[str, Any]:
        return {"table": self.target}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return [] if no_way_back(topology) else list(WITH_IT)

    def effect(self, topology: Topology) -> Effect:
        """Raises ValueError where there is no such table, or no way back."""
        if self.target not in WITH_IT:
            raise ValueError(f"TableEmptied({self.target!r}): expected one of {', '.join(WITH_IT)}")
        if why := no_way_back(topology):
            raise ValueError(f"TableEmptied({self.target!r}): {why}")
        return Effect(damaged=WITH_IT[self.target])

    def undo(self) -> str:
        return f"close the door, restore the primary to right before {self.target} was emptied, make its copies anew, open again"

    def prepare(self, cluster: Cluster) -> None:
        self.primary = cluster.wait_primary(within_s=10).name
        for table in WITH_IT[self.target]:
            if not cluster.sql(self.primary, f"SELECT EXISTS (SELECT FROM {table})")[0][0]:
                raise ClusterError(f"{table} on {self.primary} is empty already: expected rows that can be lost")

    def release(self) -> None:
        """Nothing lies ready."""

    def inject(self, cluster: Cluster) -> Moment | None:
        if not self.primary:
            self.prepare(cluster)
        cluster.sql(self.primary, "SELECT 1")  # the connection stands
        before_ns = time.monotonic_ns()
        cluster.sql(self.primary, "BEGIN")
        # In the order in which the bank pays: whoever is paying is waited for, and nobody waits for us.
        cluster.sql(self.primary, "LOCK TABLE payments, entries IN ACCESS EXCLUSIVE MODE")
        self.rows = {t: cluster.sql(self.primary, f"SELECT count(*) FROM {t}")[0][0] for t in WITH_IT[self.target]}
        cluster.sql(self.primary, f"TRUNCATE {self.target} CASCADE")
        self.xid, self.at = cluster.sql(self.primary, "SELECT pg_current_xact_id()::text::bigint, clock_timestamp()")[0]
        cluster.sql(self.primary, "COMMIT")
        return Moment(before_ns, time.monotonic_ns())

    def proof(self, cluster: Cluster) -> Proof:
        """On every copy, by its own word: how many rows are left of those that stood there."""
        subjects = [(table, node.name) for table in self.rows for node in cluster.topology.nodes(DATABASE)]
        return Proof(tuple(self.check(cluster, table, node) for table, node in subjects))

    def check(self, cluster: Cluster, table: str, node: str) -> Check:
        of = f"of {self.rows[table]} rows of before transaction {self.xid}"
        # Payments have a time, and entries their payment's: who paid since is not counted.
        old = "committed_at < %s" if table == "payments" else "key NOT IN (SELECT key FROM payments WHERE committed_at >= %s)"

        def left() -> int:
            return int(cluster.sql(node, f"SELECT count(*) FROM {table} WHERE {old}", self.at)[0][0])

        with contextlib.suppress(TimeoutError):
            wait_for(lambda: left() == 0, within_s=SEEN_WITHIN_S, what=f"{table} on {node} to be empty")
        seen = left()
        return Check(f"{table} on {node}", f"0 {of}", f"{seen} {of}", seen == 0 and self.rows[table] > 0)

    def heal(self, cluster: Cluster) -> None:
        """Goes back where the books say that it is needed; the door is open afterwards."""
        primary = cluster.primary()
        if primary is None or books_differ(cluster, primary.name):
            go_back(cluster)
        cluster.open_door_to(cluster.topology.door.centers)
