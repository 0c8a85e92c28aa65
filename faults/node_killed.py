"""One machine dies at once: SIGKILL to all its processes, its network stays."""

from __future__ import annotations

from faults.model import NodeFault, Stroke, proof_of_death
from runtime.cluster import Cluster
from runtime.staged import Deferred, Staged
from topologies.model import Effect, Proof, Topology


class NodeKilled(NodeFault, Stroke):
    """`node` is a name, or "primary"."""

    def effect(self, topology: Topology) -> Effect:
        if not self.known:
            return Effect()  # not known before it is prepared
        return Effect(down=(topology.node(self.target).name,))

    def undo(self) -> str:
        return f"start {self.target} again"

    def stage(self, cluster: Cluster) -> Staged | Deferred:
        return cluster.stage(kill=[self.find(cluster)])

    def proof(self, cluster: Cluster) -> Proof:
        return Proof((proof_of_death(cluster, self.target),))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        cluster.start([self.target])
