"""The nouns: plain frozen values that say what a topology is, before anything of it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """One machine. Its role (primary, standby) is observed while it runs and never written here."""

    name: str
    kind: str  # postgres | etcd | haproxy | bank

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "kind": self.kind}


@dataclass(frozen=True)
class Center:
    """A data center: one failure domain with its own network."""

    name: str
    region: str
    nodes: tuple[Node, ...]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "region": self.region, "nodes": [n.to_json() for n in self.nodes]}


@dataclass(frozen=True)
class Link:
    """A directed path from one center to another. `latency_ms` is one way; `bandwidth_kbps` None means unshaped."""

    source: str
    target: str
    latency_ms: float
    bandwidth_kbps: int | None = None

    def __str__(self) -> str:
        return f"{self.source}->{self.target}"

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "target": self.target,
            "latency_ms": self.latency_ms,
            "bandwidth_kbps": self.bandwidth_kbps,
        }


@dataclass(frozen=True)
class Topology:
    """What stands: centers, the links between them, how customers reach the service, and each setting by name."""

    name: str
    centers: tuple[Center, ...]
    links: tuple[Link, ...]
    service: str
    settings: dict[str, Any] = field(default_factory=dict)

    def center(self, name: str) -> Center:
        for center in self.centers:
            if center.name == name:
                return center
        raise KeyError(f"no center {name!r} in {self.name}; there are {', '.join(c.name for c in self.centers)}")

    def node(self, name: str) -> Node:
        for node in self.nodes():
            if node.name == name:
                return node
        raise KeyError(f"no node {name!r} in {self.name}; there are {', '.join(n.name for n in self.nodes())}")

    def nodes(self, kind: str | None = None) -> tuple[Node, ...]:
        return tuple(n for c in self.centers for n in c.nodes if kind is None or n.kind == kind)

    def center_of(self, node: str) -> Center:
        for center in self.centers:
            if any(n.name == node for n in center.nodes):
                return center
        raise KeyError(f"no node {node!r} in {self.name}")

    def region(self, name: str) -> tuple[Center, ...]:
        centers = tuple(c for c in self.centers if c.region == name)
        if not centers:
            raise KeyError(f"no region {name!r} in {self.name}; there are {sorted({c.region for c in self.centers})}")
        return centers

    def links_of(self, center: str) -> tuple[Link, ...]:
        return tuple(link for link in self.links if center in (link.source, link.target))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "centers": [c.to_json() for c in self.centers],
            "links": [link.to_json() for link in self.links],
            "service": self.service,
            "settings": self.settings,
        }


@dataclass(frozen=True)
class Effect:
    """What a fault must change; everything else must keep working.

    `down` names nodes that must not answer; `cut` names directed paths (`dc1->dc2`, `door->dc1`) that must carry
    nothing.
    """

    down: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"down": list(self.down), "cut": list(self.cut)}


@dataclass(frozen=True)
class Moment:
    """When something was done: it had not begun at `before_ns`, and was over at `after_ns` (CLOCK_MONOTONIC)."""

    before_ns: int
    after_ns: int


@dataclass(frozen=True)
class Check:
    """One thing read back: what was expected of `subject`, what was seen."""

    subject: str
    expected: str
    seen: str
    ok: bool

    def to_json(self) -> dict[str, Any]:
        return {"subject": self.subject, "expected": self.expected, "seen": self.seen, "ok": self.ok}


@dataclass(frozen=True)
class Proof:
    """What was read back from the victim. An empty proof proves nothing."""

    checks: tuple[Check, ...] = ()

    @property
    def proved(self) -> bool:
        return bool(self.checks) and all(c.ok for c in self.checks)
