"""A center that lives and reaches nobody: its machines run on, and believe what they last heard."""

from __future__ import annotations

from typing import Any

from faults.model import Stroke, proof_of_cut
from faults.power_loss import PRIMARYS_CENTER, outage
from runtime.addresses import DOOR
from runtime.cluster import Cluster
from runtime.staged import Deferred, Staged
from topologies.model import Center, Effect, Proof, Topology


class CenterIsolated(Stroke):
    """Every link of a center, and the door's way to it where customers go there, swallow everything.

    `center` is a name, or "primary's center".

    Nobody in it dies: an old primary goes on with whom it has beside it, until it gives up by itself.
    """

    def __init__(self, center: str) -> None:
        self.target = center

    @property
    def arguments(self) -> dict[str, Any]:
        return {"center": self.target}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return [center.name for center in topology.centers]

    def centers(self, topology: Topology) -> tuple[Center, ...]:
        return (topology.center(self.target),) if self.target != PRIMARYS_CENTER else ()  # not known before it is prepared

    def effect(self, topology: Topology) -> Effect:
        unused = {f"{DOOR}->{c.name}" for c in topology.centers if c.name not in topology.door.centers}
        return Effect(cut=tuple(path for path in outage(topology, self.centers(topology)).cut if path not in unused))

    def undo(self) -> str:
        return f"remove the rules that drop packets on the links of {self.target}"

    def stage(self, cluster: Cluster) -> Staged | Deferred:
        if self.target == PRIMARYS_CENTER:
            self.target = cluster.topology.center_of(cluster.wait_primary(within_s=10).name).name
        return cluster.stage(cut=self.effect(cluster.topology).cut)

    def proof(self, cluster: Cluster) -> Proof:
        return Proof(tuple(proof_of_cut(cluster, path) for path in self.effect(cluster.topology).cut))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        cluster.restore(self.effect(cluster.topology).cut)
