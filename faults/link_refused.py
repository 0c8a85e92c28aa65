"""A link between two centers refuses: connections are reset, and new ones are turned away at once."""

from __future__ import annotations

from faults.model import LinkFault, proof_of_rule
from runtime.cluster import Cluster
from topologies.model import Effect, Moment, Proof, Topology


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
        return Proof(tuple(proof_of_rule(cluster.refused, path, "refused") for path in self.paths(cluster.topology)))

    def heal(self, cluster: Cluster) -> None:
        cluster.accept(self.paths(cluster.topology))
