"""A link between two centers refuses: connections are reset, and new ones are turned away at once."""

from __future__ import annotations

from faults.model import LinkFault
from runtime.cluster import Cluster
from runtime.database import wait_for
from topologies.model import Check, Effect, Moment, Proof, Topology


class LinkRefused(LinkFault):
    """`path` is `dc1<->dc2` (both ways) or `dc1->dc2` (one way, which ends TCP in both); `*` is every center.

    As a firewall with a wrong rule, or a router that has lost its route and says so: nobody has to wait for a time-out. Other
    links keep carrying.
    """

    def effect(self, topology: Topology) -> Effect:
        return Effect(cut=self.paths(topology))

    def undo(self) -> str:
        return f"remove the rules that refuse packets on {self.target}"

    def prepare(self, cluster: Cluster) -> None:
        """Nothing lies ready: the rules are one script for each link."""

    def release(self) -> None:
        """Nothing lies ready."""

    def inject(self, cluster: Cluster) -> Moment | None:
        cluster.refuse(self.paths(cluster.topology))
        return None

    def proof(self, cluster: Cluster) -> Proof:
        return Proof(tuple(proof_of_refusal(cluster, path) for path in self.paths(cluster.topology)))

    def heal(self, cluster: Cluster) -> None:
        cluster.accept(self.paths(cluster.topology))


def proof_of_refusal(cluster: Cluster, path: str) -> Check:
    """The rule stands in the link's network namespace and has refused packets: waits for the first (10 s at most)."""
    try:
        packets = wait_for(lambda: cluster.refused(path), within_s=10, what=f"a refused packet on {path}")
    except TimeoutError:
        packets = cluster.refused(path)
    seen = "no rule" if packets is None else f"{packets} packets refused"
    return Check(subject=path, expected="packets refused", seen=seen, ok=bool(packets))
