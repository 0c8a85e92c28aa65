"""A database is cut from its peers and its store, and from nobody else: balancers, and so customers, still reach it."""

from __future__ import annotations

from faults.model import NodeFault, Stroke, proof_of_cut
from runtime.cluster import Cluster
from runtime.staged import Deferred, Staged
from topologies.kinds import DATABASE, MONITOR, STORE
from topologies.model import Effect, Proof, Topology


class HalfIsolated(NodeFault, Stroke):
    """`node` is a database, or "primary".

    What its peers send to it, and what it sends to its store, is dropped where it is sent. A monitor is both: it dials, and
    is dialled. Across centers all that is dialled passes a link and comes from the link's address, so only the one who dials can
    be told apart: copies dial the primary, and it dials the store.
    """

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        """A database with neither peers nor a store has nothing that it could be cut from."""
        return [node.name for node in topology.nodes(DATABASE) if HalfIsolated(node.name).effect(topology).cut]

    def effect(self, topology: Topology) -> Effect:
        if not self.known:
            return Effect()  # not known before it is prepared
        node = topology.node(self.target)
        if node.kind != DATABASE:
            raise ValueError(f"HalfIsolated: expected a database; seen {node.name}, a {node.kind}")
        peers = [other.name for other in topology.members(node.group) if other != node]
        monitors = [other.name for other in topology.members(node.group, MONITOR)]
        stores = [*(other.name for other in topology.members(node.group, STORE)), *monitors]
        dialling = [f"{other}->{node.name}" for other in (*peers, *monitors)]
        return Effect(cut=(*dialling, *(f"{node.name}->{store}" for store in stores)))

    def undo(self) -> str:
        return f"remove the rules that drop packets between {self.target} and its peers, and from it to its store"

    def stage(self, cluster: Cluster) -> Staged | Deferred:
        self.find(cluster)
        return cluster.stage(cut=self.effect(cluster.topology).cut)

    def proof(self, cluster: Cluster) -> Proof:
        return Proof(tuple(proof_of_cut(cluster, path) for path in self.effect(cluster.topology).cut))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        cluster.restore(self.effect(cluster.topology).cut)
