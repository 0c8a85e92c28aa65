"""Packets between two centers vanish: no reset, no error, only silence."""

from __future__ import annotations

from itertools import permutations

from faults.model import LinkFault, Stroke, proof_of_cut
from runtime.cluster import Cluster
from runtime.staged import Deferred, Staged
from topologies.model import Check, Effect, Proof, Topology


class LinkBlackholed(LinkFault, Stroke):
    """`path` is `dc1<->dc2` (both ways) or `dc1->dc2` (one way); `*` is every center. Other links keep carrying."""

    def effect(self, topology: Topology) -> Effect:
        return Effect(cut=self.paths(topology))

    def undo(self) -> str:
        return f"remove the rules that drop packets on {self.target}"

    def stage(self, cluster: Cluster) -> Staged | Deferred:
        return cluster.stage(cut=self.effect(cluster.topology).cut)

    def proof(self, cluster: Cluster) -> Proof:
        cut = self.paths(cluster.topology)
        checks = [proof_of_cut(cluster, path) for path in cut]
        # A cut of one direction stalls TCP in both: datagrams tell which one it is.
        for pair in dict.fromkeys(frozenset(path.split("->")) for path in cut):
            for one, other in permutations(sorted(pair)):
                wanted = f"{one}->{other}" not in cut
                # Where they must arrive, a machine too busy to listen in time gets a second chance.
                carried = any(cluster.carries(one, other) for _ in range(3 if wanted else 1))
                seen = "arrived" if carried else "none arrived"
                checks.append(Check(f"datagrams {one}->{other}", "arrive" if wanted else "none arrives", seen, carried == wanted))
        return Proof(tuple(checks))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        cluster.restore(self.paths(cluster.topology))
