"""The nouns: plain frozen values that say what a topology is, before anything of it runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from topologies.kinds import BALANCER, BANK, DATABASE, EDGE, FRONT, KINDS

DOOR, LINK = "door", "link-"
BANDWIDTH_KBPS = range(64, 1_000_001)  # below, one packet takes a fifth of a second; above, the proxy is narrower than the line
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")  # what names of containers, hosts, slots and rules can be made of


@dataclass(frozen=True)
class Node:
    """One machine. Its role (primary, standby) is observed while it runs and never written here.

    `kind` is one of `topologies.kinds`; `group` names whose databases, store, balancer or bank it is.
    """

    name: str
    kind: str
    group: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "kind": self.kind, "group": self.group}


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
    """A directed path from one center to another. `latency_ms` is one way.

    `bandwidth_kbps`: thousands of bits a second that it carries at most, whole packets counted; None: as many as the machine.
    """

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
class Group:
    """Databases that one manager decides for. `upstream` None: the primary side, which takes over by itself.

    With `upstream` it is a copy of that group, the standby side: it takes over when people say so.
    """

    name: str
    manager: str
    upstream: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "manager": self.manager, "upstream": self.upstream}


@dataclass(frozen=True)
class Door:
    """Where customers pay: at the first of `centers` whose bank, or front, is ready; with `spread` at all of them, in turns.

    With `sides` there are two of them, each with customers of its own: those of the first have even numbers, those of the second
    odd ones, and are moved to the other side when theirs is not ready. People alone let customers into the `closed` centers.
    """

    centers: tuple[str, ...]
    closed: tuple[str, ...] = ()
    spread: bool = False
    sides: bool = False

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"centers": list(self.centers), "closed": list(self.closed)}
        return told | {name: True for name in ("spread", "sides") if getattr(self, name)}


@dataclass(frozen=True)
class Topology:
    """What stands: centers, the links between them, who decides for whom, where customers pay, and each setting by name.

    Raises ValueError where its parts contradict each other.
    """

    name: str
    centers: tuple[Center, ...]
    links: tuple[Link, ...]
    groups: tuple[Group, ...]
    door: Door
    service: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for wrong in _contradictions(self):
            raise ValueError(f"topology {self.name}: {wrong}")

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

    def group(self, name: str) -> Group:
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(f"no group {name!r} in {self.name}; there are {', '.join(g.name for g in self.groups)}")

    def group_of(self, node: str) -> Group:
        return self.group(self.node(node).group)

    def members(self, group: str, kind: str = DATABASE) -> tuple[Node, ...]:
        """The nodes of that kind that a group has, in the order of the centers."""
        return tuple(n for n in self.nodes(kind) if n.group == group)

    def standby_sides(self) -> tuple[Group, ...]:
        return tuple(g for g in self.groups if g.upstream is not None)

    def centers_of(self, group: str) -> tuple[Center, ...]:
        """Where a group's databases are."""
        return tuple(c for c in self.centers if any(n.kind == DATABASE and n.group == group for n in c.nodes))

    def links_of(self, center: str) -> tuple[Link, ...]:
        return tuple(link for link in self.links if center in (link.source, link.target))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "centers": [c.to_json() for c in self.centers],
            "links": [link.to_json() for link in self.links],
            "groups": [g.to_json() for g in self.groups],
            "door": self.door.to_json(),
            "service": self.service,
            "settings": self.settings,
        }


def _contradictions(topology: Topology) -> Iterator[str]:
    """What can't be: names, then groups, then links and the door. In words: what was expected, what was seen."""
    centers, nodes = [c.name for c in topology.centers], topology.nodes()
    yield from _names(topology)
    for node in nodes:
        if node.kind not in KINDS:
            yield f"node {node.name}: expected a kind of {', '.join(KINDS)}; seen {node.kind!r}"
        if node.group not in [g.name for g in topology.groups]:
            yield f"node {node.name}: expected a group of {', '.join(g.name for g in topology.groups)}; seen {node.group!r}"
    for group in topology.groups:
        if not topology.members(group.name):
            yield f"group {group.name}: expected at least one database of it; seen none"
        if not topology.members(group.name, BALANCER):
            yield f"group {group.name}: expected at least one balancer that finds its primary; seen none"
        above, seen = group.upstream, {group.name}
        while above is not None:
            if above in seen or above not in [g.name for g in topology.groups]:
                yield f"group {group.name}: expected an upstream that is another group and no copy of this one; seen {above!r}"
                break
            seen.add(above)
            above = topology.group(above).upstream
    if len(sides := [g.name for g in topology.groups if g.upstream is None]) != 1:
        yield f"expected one group without an upstream, because there is one bank; seen {', '.join(sides) or 'none'}"
    pairs = [(link.source, link.target) for link in topology.links]
    for link in topology.links:
        if link.source not in centers or link.target not in centers or link.source == link.target:
            yield f"link {link}: expected two of the centers {', '.join(centers)}"
        if (link.target, link.source) not in pairs:
            yield f"link {link}: expected a link back, {link.target}->{link.source}; seen none"
        if link.latency_ms < 0:
            yield f"link {link}: expected a latency of 0 ms or more; seen {link.latency_ms:g}"
        if link.bandwidth_kbps is not None and not (type(link.bandwidth_kbps) is int and link.bandwidth_kbps in BANDWIDTH_KBPS):
            least, most = BANDWIDTH_KBPS[0], BANDWIDTH_KBPS[-1]
            yield f"link {link}: expected a bandwidth of {least} to {most} kbit/s, whole; seen {link.bandwidth_kbps!r}"
    if twice := _twice(str(link) for link in topology.links):
        yield f"link {twice} stands twice"
    for center in topology.centers:
        yield from _missing(topology, center)
    served = [*topology.door.centers, *topology.door.closed]
    if not topology.door.centers or _twice(served) or not set(served) <= set(centers):
        seen_there = ", ".join(served) or "none"
        yield f"the door: expected centers of {', '.join(centers)}, each once and one at least open; seen {seen_there}"
    if topology.door.sides and (len(topology.door.centers) != 2 or topology.door.spread):
        seen_there = f"{len(topology.door.centers)} open centers{', and customers dealt in turns' * topology.door.spread}"
        yield f"the door: expected two open centers where each side has customers of its own, or no sides; seen {seen_there}"
    for name in served:
        if not any(n.kind in (BANK, FRONT, EDGE) for n in topology.center(name).nodes):
            yield f"the door leads to {name}: expected a bank, a front or an edge there; seen none"
    for front in (node for node in nodes if node.kind in (FRONT, EDGE)):
        if not any(n.group == front.group for n in topology.nodes(BANK)):
            yield f"{front.kind} {front.name}: expected a bank of group {front.group} to pass customers on to; seen none"


def _missing(topology: Topology, center: Center) -> Iterator[str]:
    """What a center lacks to be reached, asked and paid at."""
    kinds = {node.kind for node in center.nodes}
    if len(topology.centers) > 1 and not topology.links_of(center.name):
        yield f"center {center.name}: expected a link to another center; seen none"
    if DATABASE in kinds and not any(KINDS[kind].asked for kind in kinds):
        asked = " or ".join(kind.name for kind in KINDS.values() if kind.asked)
        seen = ", ".join(sorted(kinds))
        yield f"center {center.name}: expected a node that can be asked over HTTP ({asked}) beside its databases; seen {seen}"
    if not kinds:
        yield f"center {center.name}: expected at least one node; seen none"
    for bank in (n for n in center.nodes if n.kind == BANK):
        if not any(n.kind == BALANCER and n.group == bank.group for n in center.nodes):
            yield f"bank {bank.name}: expected a balancer of group {bank.group} in {center.name}; seen none"


def _names(topology: Topology) -> Iterator[str]:
    for what, names in (
        ("center", [c.name for c in topology.centers]),
        ("node", [n.name for n in topology.nodes()]),
        ("group", [g.name for g in topology.groups]),
    ):
        if twice := _twice(names):
            yield f"{what} {twice} stands twice"
        for name in names:
            if not NAME.fullmatch(name):
                yield f"{what} {name!r}: expected small letters and digits in parts joined by '-'"
            if name == DOOR or name.startswith(LINK):
                yield f"{what} {name!r}: expected another name; the door's and the links' containers are called so"


def _twice(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


@dataclass(frozen=True)
class Effect:
    """What a fault must change; everything else must keep working.

    `down` names nodes that must not answer; `cut` names directed paths (`dc1->dc2`, `door->dc1`, and between two nodes
    `dc1-a->dc2-a`) that must carry nothing. `destroyed` names those of the nodes that are down of which nothing is left, their
    disks included. `damaged` names the bank's tables whose contents are not to be trusted, on any copy, until they are restored.
    `impaired` names directed paths between centers that go on carrying, and worse than they should: slow, lossy, narrow.
    """

    down: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    destroyed: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    impaired: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        told = {"down": list(self.down), "cut": list(self.cut)}
        rare = {"destroyed": list(self.destroyed), "damaged": list(self.damaged), "impaired": list(self.impaired)}
        return told | {name: names for name, names in rare.items() if names}


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
