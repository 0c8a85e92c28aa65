"""One machine dies at once: SIGKILL to all its processes, its network stays."""

from __future__ import annotations

from typing import Any

from faults.model import Stroke, proof_of_death
from runtime.cluster import Cluster
from runtime.staged import Deferred, Staged
from topologies.model import Effect, Proof, Topology

PRIMARY = "primary"


class NodeKilled(Stroke):
    """`node` is a name, or "primary": whoever the databases say it is when the fault is prepared."""

    def __init__(self, node: str) -> None:
        self.target = node

    @property
    def arguments(self) -> dict[str, Any]:
        return {"node": self.target}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return [node.name for node in topology.nodes()]

    def effect(self, topology: Topology) -> Effect:
        if self.target == PRIMARY:
            return Effect()  # not known before it is prepared
        return Effect(down=(topology.node(self.target).name,))

    def undo(self) -> str:
        return f"start {self.target} again"

    def stage(self, cluster: Cluster) -> Staged | Deferred:
        if self.target == PRIMARY:
            self.target = cluster.wait_primary(within_s=10).name
        return cluster.stage(kill=[self.target])

    def proof(self, cluster: Cluster) -> Proof:
        return Proof((proof_of_death(cluster, self.target),))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        cluster.start([self.target])
