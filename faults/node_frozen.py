"""One machine stands still: none of its processes runs, none is dead. When it goes on, it believes what it believed before."""

from __future__ import annotations

import contextlib

from faults.model import NodeFault
from runtime.cluster import Cluster
from runtime.database import wait_for
from topologies.model import Check, Effect, Moment, Proof, Topology


class NodeFrozen(NodeFault):
    """`node` is a name, or "primary".

    As a virtual machine that is suspended, or moved. Its kernel goes on for it: connections stand and new ones are taken, but
    nobody says a word on them. Healed, a frozen primary still takes itself for one.
    """

    def effect(self, topology: Topology) -> Effect:
        if not self.known:
            return Effect()  # not known before it is prepared
        return Effect(down=(topology.node(self.target).name,))

    def undo(self) -> str:
        return f"let {self.target} run on"

    def prepare(self, cluster: Cluster) -> None:
        self.find(cluster)

    def release(self) -> None:
        """Nothing lies ready."""

    def inject(self, cluster: Cluster) -> Moment | None:
        self.prepare(cluster)
        return cluster.freeze(self.target)

    def proof(self, cluster: Cluster) -> Proof:
        """By the kernel that none of its processes may run, and by itself: asked above TCP, it says nothing."""
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: cluster.frozen(self.target), within_s=10, what=f"{self.target} to be frozen")
        frozen, answers = cluster.frozen(self.target), cluster.answers(self.target)
        seen = f"{'frozen' if frozen else 'not frozen'}, {'answers' if answers else 'no answer'}"
        return Proof((Check(self.target, "frozen, no answer", seen, ok=frozen and not answers),))

    def heal(self, cluster: Cluster) -> None:
        if self.known:  # else it was never prepared
            cluster.thaw(self.target)
