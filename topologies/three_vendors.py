"""Three centers of three vendors at equal distance: any one may be lost, and after its repair any other.

Each has two databases and a member of the store, all of one group. Two copies confirm each payment; there are two databases to a
center, so one of the copies is another vendor's.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from topologies.kinds import BALANCER, BANK, DATABASE
from topologies.model import Center, Door, Group, Link, Node, Topology
from topologies.settings import COMMON, STORES, SYNCHRONOUS, WATCHERS, settled

GROUP = "bank"
VENDORS = ("vendor-a", "vendor-b", "vendor-c")
CHOICES = {"synchronous": SYNCHRONOUS, "etcd_leader_center": VENDORS}
SETTINGS: dict[str, Any] = {
    **COMMON,
    "etcd_leader_center": "vendor-c",
    "vendor_latency_ms": 5,  # one way, between any two
}


def three_vendors(**changed: Any) -> Topology:
    """The topology with some settings changed. Raises ValueError with what was expected of a setting."""
    settings = settled(SETTINGS, changed, CHOICES)

    manager = settings["manager"]
    kinds = (*([STORES[manager]] if manager in STORES else []), BALANCER, BANK)

    watchers = [Node(f"{VENDORS[-1]}-{WATCHERS[manager]}", WATCHERS[manager], GROUP)] if manager in WATCHERS else []

    def center(name: str) -> Center:
        nodes = [Node(f"{name}-{letter}", DATABASE, GROUP) for letter in "ab"]
        nodes += [Node(f"{name}-{kind}", kind, GROUP) for kind in kinds]
        return Center(name, name, (*nodes, *(watchers if name == VENDORS[-1] else [])))

    return Topology(
        name="three-vendors",
        centers=tuple(center(name) for name in VENDORS),
        links=tuple(Link(one, other, float(settings["vendor_latency_ms"])) for one, other in permutations(VENDORS, 2)),
        groups=(Group(GROUP, manager),),
        door=Door(VENDORS),
        service="one front door on 127.0.0.1, outside the centers: HTTP POST /payments",
        settings=settings,
    )
