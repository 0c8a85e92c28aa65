"""A session takes a table for itself and does not end: everybody waits behind it, and nothing is broken."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import Any

from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from topologies.kinds import DATABASE
from topologies.model import Check, Effect, Moment, Proof, Topology

TABLES = ("accounts", "entries", "payments")
SESSION = "drillbook-lock-{}"  # its application_name, with the table: whoever heals finds it by that
LEASE_S = 600  # then it ends by itself, whatever became of us
HELD_WITHIN_S = 15.0
WAITING_WITHIN_S = 10.0
ENDED_WITHIN_S = 20.0
HOLDERS = """
SELECT h.pid, (SELECT count(*) FROM pg_locks w WHERE w.relation = h.relation AND NOT w.granted)
  FROM pg_locks h JOIN pg_stat_activity a USING (pid)
 WHERE a.application_name = %s AND h.relation = to_regclass(%s) AND h.mode = 'AccessExclusiveLock' AND h.granted
"""


class TableLocked:
    """`LOCK TABLE table IN ACCESS EXCLUSIVE MODE` on the primary, by a maintenance session that stays in its transaction.

    The session runs on the primary's own machine: it outlives whoever injects it, and ends by itself after 10 minutes.
    """

    def __init__(self, table: str) -> None:
        if table not in TABLES:
            raise ValueError(f"TableLocked: expected one of {', '.join(TABLES)}; seen {table!r}")
        self.target = table
        self.primary = ""
        self.session = 0

    @property
    def arguments(self) -> dict[str, Any]:
        return {"table": self.target}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return list(TABLES) if topology.nodes(DATABASE) else []

    def effect(self, topology: Topology) -> Effect:
        del topology
        return Effect()  # all works, and waits

    def undo(self) -> str:
        return f"end the session that holds {self.target}"

    def prepare(self, cluster: Cluster) -> None:
        self.primary = cluster.wait_primary(within_s=10).name
        if sessions(cluster, self.primary, self.target):
            raise ClusterError(f"a session holds {self.target} on {self.primary} already: expected 'drillbook heal' before")

    def release(self) -> None:
        """Nothing lies ready."""

    def inject(self, cluster: Cluster) -> Moment | None:
        """Not an instant: a program has to start on the primary and to wait for whoever is paying."""
        if not self.primary:
            self.prepare(cluster)
        lock = f"BEGIN; LOCK TABLE {self.target} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({LEASE_S})"
        before_ns = time.monotonic_ns()
        cluster.begin(
            self.primary,
            ["psql", "-h", "/run/postgresql", f"dbname=bank application_name={SESSION.format(self.target)}", "-c", lock],
        )
        what = f"a session to hold {self.target} on {self.primary}"
        held = wait_for(lambda: sessions(cluster, self.primary, self.target), within_s=HELD_WITHIN_S, what=what, every_s=0.01)
        self.session = held[0][0]
        return Moment(before_ns, time.monotonic_ns())

    def proof(self, cluster: Cluster) -> Proof:
        """The server says who holds the table, and that others wait for it: waits for the first (10 s at most)."""

        def waiting() -> bool:
            return any(pid == self.session and others for pid, others in sessions(cluster, self.primary, self.target))

        with contextlib.suppress(TimeoutError):
            wait_for(waiting, within_s=WAITING_WITHIN_S, what=f"somebody to wait for {self.target}")
        found = dict(sessions(cluster, self.primary, self.target))
        others = found.get(self.session)
        seen = "not locked" if others is None else f"locked by session {self.session}, {others} wait"
        subject = f"{self.target} on {self.primary}"
        return Proof((Check(subject, f"locked by session {self.session}", seen, ok=bool(others)),))

    def heal(self, cluster: Cluster) -> None:
        """Wherever such a session is: who heals may be another process, and the primary may have moved."""
        for node in [one.name for one in cluster.databases()]:
            what = f"an answer of {node}, on which a session may hold {self.target}"
            wait_for(functools.partial(self.ended, cluster, node), within_s=ENDED_WITHIN_S, what=what, every_s=0.2)

    def ended(self, cluster: Cluster, node: str) -> bool:
        if not cluster.running(node):
            return True  # what is dead holds no lock
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        cluster.sql(node, end, SESSION.format(self.target))
        return True


def sessions(cluster: Cluster, node: str, table: str) -> list[tuple[int, int]]:
    """Those of ours that hold the table: process id, and how many wait for it."""
    return [(int(pid), int(others)) for pid, others in cluster.sql(node, HOLDERS, SESSION.format(table), table)]
