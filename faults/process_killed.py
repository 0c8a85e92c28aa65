"""One process of a database server dies, its machine and all else on it live: whoever watches over it starts it again, or not."""

from __future__ import annotations

from typing import Any

from faults.model import PRIMARY, NodeFault
from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.processes import PROCESSES, Held
from topologies.kinds import DATABASE
from topologies.model import Check, Effect, Moment, Proof, Topology

BACK_WITHIN_S = 90.0


class ProcessKilled(NodeFault):
    """SIGKILL to each process of that name on `node` ("primary": whoever it is then).

    `process`: server (the postmaster), checkpointer, walwriter, walsender (every one), walreceiver. After the death of any of
    them PostgreSQL trusts its shared memory no longer: all its processes end, and a new start recovers from the log. Nothing has
    to be healed: the heal waits until the node answers, and starts it where it ended as a whole.
    """

    def __init__(self, process: str, node: str = PRIMARY) -> None:
        if process not in PROCESSES:
            raise ValueError(f"ProcessKilled: expected a process out of {', '.join(PROCESSES)}; seen {process!r}")
        super().__init__(node)
        self.process = process
        self.killed: list[int] = []
        self.held: Held | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        return {"process": self.process, **super().arguments}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        """The server, which stands for its processes: what one of them can do, it can."""
        return [f"server@{node.name}" for node in topology.nodes(DATABASE)]

    def effect(self, topology: Topology) -> Effect:
        if self.known:
            topology.node(self.target)
        return Effect()  # the node answers again by itself, or by whoever watches over it

    def undo(self) -> str:
        return f"wait until {self.target} answers again"

    def prepare(self, cluster: Cluster) -> None:
        self.release()
        self.held = cluster.hold_processes(self.find(cluster), self.process)
        self.killed = cluster.processes(self.target, self.process) if self.held is None else list(self.held.pids)
        if not self.killed:
            raise ClusterError(f"no {self.process} runs on {self.target}")

    def release(self) -> None:
        if self.held is not None:
            self.held.close()
            self.held = None

    def inject(self, cluster: Cluster) -> Moment | None:
        if not self.killed:
            self.prepare(cluster)
        try:
            if self.held is not None:
                return self.held.kill()
            cluster.kill_processes(self.target, self.killed)
            return None
        finally:
            self.release()

    def proof(self, cluster: Cluster) -> Proof:
        """None of the processes that were killed is among those of that name now."""
        now = cluster.processes(self.target, self.process)
        left = sorted(set(now) & set(self.killed))
        seen = f"still {told(left)}" if left else f"gone; now {told(now)}"
        return Proof((Check(f"{self.process} on {self.target}", f"killed: {told(self.killed)}", seen, ok=not left),))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        if self.known:  # else it was never prepared
            cluster.start([self.target])  # where whoever watched over the process ended with it
            what = f"an answer of {self.target}"
            wait_for(lambda: cluster.answers(self.target), within_s=BACK_WITHIN_S, what=what, every_s=0.2)


def told(pids: list[int]) -> str:
    return ", ".join(map(str, pids)) or "none"
