"""What a fault is: its effect stated, its injection, its proof read back from the victim, and a heal that is idempotent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from runtime.cluster import Cluster
from runtime.database import wait_for
from runtime.staged import Deferred, Staged
from topologies.kinds import KINDS
from topologies.model import Center, Check, Effect, Moment, Proof, Topology


class Fault(Protocol):
    """`target` says in one word what is hit; `arguments` are enough to build the same fault in another process."""

    target: str

    @property
    def arguments(self) -> dict[str, Any]: ...

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        """All that it can hit there, by name, each as `drillbook inject` takes it; who is primary then is no name."""
        ...

    def effect(self, topology: Topology) -> Effect:
        """What must change; everything else must keep working. Raises ValueError or KeyError when the target does not exist."""
        ...

    def undo(self) -> str:
        """What heals it, in words, for the record that is written before it happens."""
        ...

    def prepare(self, cluster: Cluster) -> None:
        """All that can be found out and laid ready before the injection, so that the injection is nothing but the act."""
        ...

    def release(self) -> None:
        """Let go of what `prepare` laid ready. What was not injected until then is not going to happen. Safe at any time."""
        ...

    def inject(self, cluster: Cluster) -> Moment | None:
        """The act. Returns when it took hold: the last moment before and the first after; None: the caller's clock counts."""
        ...

    def proof(self, cluster: Cluster) -> Proof:
        """Read back from the victim: it really happened."""
        ...

    def heal(self, cluster: Cluster) -> None:
        """Idempotent, and safe after half an injection."""
        ...


class Stroke:
    """What faults that cut and kill share: everything lies ready after `prepare`, and the injection is one stroke."""

    staged: Staged | Deferred | None = None

    def prepare(self, cluster: Cluster) -> None:
        self.release()
        self.staged = self.stage(cluster)

    def stage(self, cluster: Cluster) -> Staged | Deferred:
        raise NotImplementedError

    def release(self) -> None:
        if self.staged is not None:
            self.staged.close()
            self.staged = None

    def inject(self, cluster: Cluster) -> Moment | None:
        if self.staged is None:
            self.prepare(cluster)
        assert self.staged is not None
        try:
            return self.staged.act()
        finally:
            self.release()


PRIMARY = "primary"


class NodeFault:
    """What faults of one node share. `node` is a name, or "primary": whoever the databases say it is when it is prepared."""

    def __init__(self, node: str) -> None:
        self.target = node

    @property
    def arguments(self) -> dict[str, Any]:
        return {"node": self.target}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return [node.name for node in topology.nodes()]

    @property
    def known(self) -> bool:
        """Whether the victim has a name: not before it is prepared, where it is the primary."""
        return self.target != PRIMARY

    def find(self, cluster: Cluster) -> str:
        """The victim's name, from now on for good."""
        if not self.known:
            self.target = cluster.wait_primary(within_s=10).name
        return self.target


EVERY = "*"


class LinkFault:
    """What faults of links share. `path` is `dc1<->dc2` (both ways) or `dc1->dc2` (one way); `*` stands for every center.

    So `*<->dc3` is all that joins dc3 with others, and `*<->*` the whole backbone.
    """

    def __init__(self, path: str) -> None:
        self.target = path

    @property
    def arguments(self) -> dict[str, Any]:
        return {"path": self.target}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        one_way = [str(link) for link in topology.links]
        order = [center.name for center in topology.centers]
        both = [f"{li.source}<->{li.target}" for li in topology.links if order.index(li.source) < order.index(li.target)]
        return [*both, *([f"{EVERY}<->{EVERY}"] if len(both) > 1 else []), *one_way]

    def paths(self, topology: Topology) -> tuple[str, ...]:
        """The directed paths. Raises ValueError where the topology has no such link."""
        one, way, other = self.target.partition("<->" if "<->" in self.target else "->")
        asked = [(one, other), (other, one)] if way == "<->" else [(one, other)]
        found: dict[str, None] = {}
        for source, target in asked:
            fitting = [str(link) for link in topology.links if source in (link.source, EVERY) and target in (link.target, EVERY)]
            if not fitting:
                links = sorted(str(link) for link in topology.links)
                both = f", or both ways as {links[0].replace('->', '<->')}" if links else ""
                there = f"expected one of {', '.join(links) or 'none: one center stands'}{both}"
                raise ValueError(f"no link {f'{source}->{target}'!r}; {there}; {EVERY} is every center")
            found |= dict.fromkeys(fitting)
        return tuple(found)


PRIMARYS_CENTER = "primary's center"


class CenterStroke(Stroke):
    """What faults of a whole center share. `center` is a name, or "primary's center": where the primary is by then."""

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
        raise NotImplementedError

    def stage(self, cluster: Cluster) -> Staged | Deferred:
        if self.target == PRIMARYS_CENTER:
            self.target = cluster.topology.center_of(cluster.wait_primary(within_s=10).name).name
        effect = self.effect(cluster.topology)
        return cluster.stage(cut=effect.cut, kill=effect.down)


def proof_of_death(cluster: Cluster, node: str) -> Check:
    """The engine's record of the SIGKILL, waited for 10 s at most, and that nobody listens there any more."""
    with contextlib.suppress(TimeoutError):
        cluster.wait_dead(node)
    port = KINDS[cluster.topology.node(node).kind].port
    state = cluster.container_state(node)
    listening = cluster.listening(node, port)
    return Check(
        subject=node,
        expected="killed (exit code 137), port closed",
        seen=f"{state['Status']}, exit code {state['ExitCode']}, port {port} {'open' if listening else 'closed'}",
        ok=not state["Running"] and state["ExitCode"] == 137 and not listening,
    )


def proof_of_cut(cluster: Cluster, path: str) -> Check:
    return proof_of_rule(cluster.dropped, path, "dropped")


def proof_of_rule(counted: Callable[[str], int | None], path: str, what: str) -> Check:
    """A rule stands in the link's network namespace and has dropped, or refused, packets: waits for the first (10 s at most)."""
    try:
        packets = wait_for(lambda: counted(path), within_s=10, what=f"a packet {what} on {path}")
    except TimeoutError:
        packets = counted(path)
    seen = "no rule" if packets is None else f"{packets} packets {what}"
    # Nothing may flow on a path whose far end is dead: the rule alone is no proof, and neither is silence.
    return Check(subject=path, expected=f"packets {what}", seen=seen, ok=bool(packets))
