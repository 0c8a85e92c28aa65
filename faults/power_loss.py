"""A whole center, or a whole region, loses power: no goodbye, nothing more on any wire."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from faults.model import CenterStroke, proof_of_death
from runtime.addresses import DOOR
from runtime.cluster import Cluster
from topologies.kinds import KINDS
from topologies.model import Center, Check, Effect, Proof, Topology


def outage(topology: Topology, centers: tuple[Center, ...]) -> Effect:
    """Every node of the centers is down; every path to or from them carries nothing."""
    cut = [str(link) for center in centers for link in topology.links_of(center.name)]
    cut += [f"{DOOR}->{center.name}" for center in centers]
    return Effect(down=tuple(n.name for c in centers for n in c.nodes), cut=tuple(dict.fromkeys(cut)))


class CenterPowerLoss(CenterStroke):
    """Every node and link of one center at once. `center` is a name, or "primary's center": where the primary is by then.

    The links' packets are dropped first and the nodes killed then: a proxy would still deliver what it holds, and hide a loss.
    SIGKILL keeps what the kernel had in its page cache: unsynced writes survive here and would not in a real power cut.
    """

    def effect(self, topology: Topology) -> Effect:
        return outage(topology, self.centers(topology))

    def undo(self) -> str:
        return f"start every node of {self.target} again, then let its links carry packets"

    def proof(self, cluster: Cluster) -> Proof:
        effect = self.effect(cluster.topology)
        with ThreadPoolExecutor(len(effect.down)) as pool:
            checks = list(pool.map(lambda node: proof_of_death(cluster, node), effect.down))
        return Proof((*checks, *self.proof_of_cuts(cluster, effect)))

    @staticmethod
    def proof_of_cuts(cluster: Cluster, effect: Effect) -> Iterator[Check]:
        for path in effect.cut:
            packets = cluster.dropped(path)
            # A dead center sends nothing, so a path away from it may have dropped nothing: the rule itself is the proof.
            seen = "no rule" if packets is None else f"rule in place, {packets} packets dropped"
            yield Check(path, "a rule that drops all packets", seen, packets is not None)

    def heal(self, cluster: Cluster) -> None:
        self.release()
        effect = self.effect(cluster.topology)
        cluster.restore(effect.cut)
        # The stores first: whose store does not answer when it starts looks again only after five seconds.
        cluster.start(sorted(effect.down, key=lambda name: KINDS[cluster.topology.node(name).kind].start))


class RegionLoss(CenterPowerLoss):
    """Every node and link of every center of a region at once."""

    def __init__(self, region: str) -> None:
        super().__init__(region)

    @property
    def arguments(self) -> dict[str, Any]:
        return {"region": self.target}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return list(dict.fromkeys(center.region for center in topology.centers))

    def centers(self, topology: Topology) -> tuple[Center, ...]:
        return topology.region(self.target)
