"""A core in the bank's own center, and fronts for its customers in a public cloud, which reach it by one line each.

The private center has the databases, their store and the bank. The public centers have a front each and no data: what they can't
pass on they refuse.
"""

from __future__ import annotations

from typing import Any

from topologies.kinds import BALANCER, BANK, DATABASE, FRONT
from topologies.model import Center, Door, Group, Link, Node, Topology
from topologies.settings import COMMON, STORES, SYNCHRONOUS, WATCHERS, settled

PRIVATE, GROUP = "private", "core"
FRONTS = ("public-1", "public-2", "public-3")
OPEN = 2  # of the fronts; the rest is let in by people when it is needed
CHOICES = {"synchronous": SYNCHRONOUS, "etcd_leader_center": (PRIVATE,)}
SETTINGS: dict[str, Any] = {
    **COMMON,
    "etcd_leader_center": PRIVATE,
    "synchronous_node_count": 1,
    "front_check_timeout_ms": 300,  # patience of a front with the bank's answer to a check: who is cut off says so soon
    "front_latency_ms": 5,  # one way, between a front and the core
    "front_bandwidth_kbps": 200,  # each way, on each front's line, whole packets counted
}


def hybrid_cloud(**changed: Any) -> Topology:
    """The topology with some settings changed. Raises ValueError with what was expected of a setting."""
    settings = settled(SETTINGS, changed, CHOICES)
    manager, line = settings["manager"], (float(settings["front_latency_ms"]), settings["front_bandwidth_kbps"])
    kinds = [kind for kind in (STORES.get(manager), WATCHERS.get(manager), BALANCER, BANK) if kind is not None]
    core = [Node(f"{PRIVATE}-{letter}", DATABASE, GROUP) for letter in "ab"]
    core += [Node(f"{PRIVATE}-{kind}", kind, GROUP) for kind in kinds]
    return Topology(
        name="hybrid-cloud",
        centers=(
            Center(PRIVATE, PRIVATE, tuple(core)),
            *(Center(name, "public", (Node(f"{name}-front", FRONT, GROUP),)) for name in FRONTS),
        ),
        links=tuple(link for name in FRONTS for link in (Link(name, PRIVATE, *line), Link(PRIVATE, name, *line))),
        groups=(Group(GROUP, manager),),
        door=Door(FRONTS[:OPEN], closed=FRONTS[OPEN:], spread=True),
        service="one front door on 127.0.0.1, outside the centers: HTTP POST /payments",
        settings=settings,
    )
