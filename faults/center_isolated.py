"""A center that lives and reaches nobody: its machines run on, and believe what they last heard."""

from __future__ import annotations

from faults.model import CenterStroke, proof_of_cut
from faults.power_loss import outage
from runtime.addresses import DOOR
from runtime.cluster import Cluster
from topologies.model import Effect, Proof, Topology


class CenterIsolated(CenterStroke):
    """Every link of a center, and the door's way to it where customers go there, swallow everything.

    `center` is a name, or "primary's center".

    Nobody in it dies: an old primary goes on with whom it has beside it, until it gives up by itself.
    """

    def effect(self, topology: Topology) -> Effect:
        unused = {f"{DOOR}->{c.name}" for c in topology.centers if c.name not in topology.door.centers}
        return Effect(cut=tuple(path for path in outage(topology, self.centers(topology)).cut if path not in unused))

    def undo(self) -> str:
        return f"remove the rules that drop packets on the links of {self.target}"

    def proof(self, cluster: Cluster) -> Proof:
        return Proof(tuple(proof_of_cut(cluster, path) for path in self.effect(cluster.topology).cut))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        cluster.restore(self.effect(cluster.topology).cut)
