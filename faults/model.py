"""What a fault is: its effect stated, its injection, its proof read back from the victim, and a heal that is idempotent."""

from __future__ import annotations

from typing import Any, Protocol

from topologies.cluster import Cluster
from topologies.database import wait_for
from topologies.model import Check, Effect, Proof, Topology


class Fault(Protocol):
    """`target` says in one word what is hit; `arguments` are enough to build the same fault in another process."""

    target: str

    @property
    def arguments(self) -> dict[str, Any]: ...

    def effect(self, topology: Topology) -> Effect:
        """What must change; everything else must keep working. Raises ValueError when the target does not exist."""
        ...

    def undo(self) -> str:
        """What heals it, in words, for the record that is written before it happens."""
        ...

    def prepare(self, cluster: Cluster) -> None:
        """What must be found out before the injection (a file, a candidate), so that the injection itself is short."""
        ...

    def inject(self, cluster: Cluster) -> None: ...

    def proof(self, cluster: Cluster) -> Proof:
        """Read back from the victim: it really happened."""
        ...

    def heal(self, cluster: Cluster) -> None:
        """Idempotent, and safe after half an injection."""
        ...


def proof_of_death(cluster: Cluster, node: str) -> Check:
    """Docker's record of the SIGKILL, and that nobody listens there any more."""
    port = {"postgres": 5432, "etcd": 2379, "haproxy": 5432, "bank": 8080}[cluster.topology.node(node).kind]
    state = cluster.container_state(node)
    listening = cluster.listening(node, port)
    return Check(
        subject=node,
        expected="killed (exit code 137), port closed",
        seen=f"{state['Status']}, exit code {state['ExitCode']}, port {port} {'open' if listening else 'closed'}",
        ok=not state["Running"] and state["ExitCode"] == 137 and not listening,
    )


def proof_of_cut(cluster: Cluster, path: str) -> Check:
    """The rule stands in the link's network namespace and has dropped packets: waits for the first (10 s at most)."""
    try:
        packets = wait_for(lambda: cluster.dropped(path), within_s=10, what=f"a dropped packet on {path}")
    except TimeoutError:
        packets = cluster.dropped(path)
    seen = "no rule" if packets is None else f"{packets} packets dropped"
    # Nothing may flow on a path whose far end is dead: the rule alone is no proof, and neither is silence.
    return Check(subject=path, expected="packets dropped", seen=seen, ok=bool(packets))
