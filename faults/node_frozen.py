"""One machine stands still: none of its processes runs, none is dead. When it goes on, it believes what it believed before."""

from __future__ import annotations

import contextlib
from typing import Any

from runtime.cluster import Cluster
from runtime.database import wait_for
from topologies.model import Check, Effect, Moment, Proof, Topology

PRIMARY = "primary"


class NodeFrozen:
    """`node` is a name, or "primary": whoever the databases say it is when the fault is prepared.

    As a virtual machine that is suspended, or moved. Its kernel goes on for it: connections stand and new ones are taken, but
    nobody says a word on them. Healed, a frozen primary still takes itself for one.
    """

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
        return f"let {self.target} run on"

    def prepare(self, cluster: Cluster) -> None:
        if self.target == PRIMARY:
            self.target = cluster.wait_primary(within_s=10).name

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
        if self.target != PRIMARY:  # else it was never prepared
            cluster.thaw(self.target)
