"""The primary moves to another center on purpose: nothing breaks, and that is to be shown."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from topologies.model import Check, Effect, Moment, Proof, Topology


class PlannedSwitchover:
    """Hands the primary's role to a synchronous copy in `center`. Its heal does nothing: switching back is a switchover too."""

    def __init__(self, center: str) -> None:
        self.target = center
        self.old = ""
        self.candidate = ""
        self.request: Future[str] | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        return {"center": self.target}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        """Centers with a database of the primary side; the one where the primary is then is none."""
        return [c.name for group in topology.groups if group.upstream is None for c in topology.centers_of(group.name)]

    def effect(self, topology: Topology) -> Effect:
        topology.center(self.target)
        return Effect()

    def undo(self) -> str:
        return "nothing to undo: a switchover back is a step of its own"

    def prepare(self, cluster: Cluster) -> None:
        self.old = cluster.wait_primary(within_s=10).name
        if cluster.topology.center_of(self.old).name == self.target:
            raise ClusterError(f"the primary {self.old} is in {self.target} already")
        # A manager refuses a candidate that isn't synchronous at the moment: it would lose payments.
        self.candidate = wait_for(
            lambda: self.synchronous_copy(cluster), within_s=30, what=f"a synchronous copy in {self.target}", every_s=0.2
        )

    def synchronous_copy(self, cluster: Cluster) -> str | None:
        state = cluster.state(self.old)
        candidates = [n.name for n in cluster.databases(cluster.topology.center(self.target))]
        if state is None:
            return None
        in_sync = {r["name"] for r in state.replication if r["sync_state"] in ("sync", "quorum") and r["name"] in candidates}
        in_sync &= set(cluster.manager(self.old).candidates(cluster, self.old))
        return min(in_sync, default=None)

    def release(self) -> None:
        """Nothing is held."""

    def inject(self, cluster: Cluster) -> Moment | None:
        """Asks for it and returns: the answer comes only when it is over, and the clock must start with the question."""
        if not self.candidate:
            self.prepare(cluster)
        before_ns = time.monotonic_ns()
        self.request = cluster.manager(self.old).ask_switch_over(cluster, self.old, self.candidate)
        return Moment(before_ns, time.monotonic_ns())

    def role(self, cluster: Cluster, node: str) -> str:
        state = cluster.state(node)
        return "no answer" if state is None else "standby" if state.in_recovery else "primary"

    def proof(self, cluster: Cluster) -> Proof:
        # The manager may stop watching before it is over: what counts is whether it happens.
        refusal = None if self.request is None else self.request.exception()
        try:
            wait_for(lambda: self.role(cluster, self.candidate) == "primary", within_s=60, what=f"{self.candidate} to be primary")
            wait_for(lambda: self.role(cluster, self.old) == "standby", within_s=60, what=f"{self.old} to be a standby")
        except TimeoutError as error:
            raise refusal or error from error
        wanted = ((self.candidate, "primary"), (self.old, "standby"))
        seen = {node: self.role(cluster, node) for node, _ in wanted}
        return Proof(tuple(Check(node, role, seen[node], seen[node] == role) for node, role in wanted))

    def heal(self, cluster: Cluster) -> None:
        del cluster
