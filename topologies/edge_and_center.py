"""A center that has the books, and two edges that take customers, each with a durable store of its own.

While an edge hears the center, it passes payments on. While it doesn't, it authorises small ones by itself, and forwards them
later with the same key. The edges have a line to each other, too: each asks the other for a payment that it doesn't know.
"""

from __future__ import annotations

from typing import Any

from topologies.kinds import BALANCER, BANK, DATABASE, EDGE
from topologies.model import Center, Door, Group, Link, Node, Topology
from topologies.settings import COMMON, STORES, SYNCHRONOUS, WATCHERS, settled

CENTER, GROUP = "center", "bank"
EDGES = ("edge-1", "edge-2")
CHOICES = {"synchronous": SYNCHRONOUS, "etcd_leader_center": (CENTER,)}
SETTINGS: dict[str, Any] = {
    **COMMON,
    "etcd_leader_center": CENTER,
    "synchronous_node_count": 1,
    "edge_limit_minor": 800,  # the largest payment that an edge authorises by itself: customers pay 1 to 1000
    "edge_account_limit_minor": 5000,  # what an account may owe to payments that one edge has not forwarded yet
    "edge_patience_ms": 500,  # no word of the center for so long: an edge is cut off. Half of the service level
    "edge_latency_ms": 5,  # one way, between an edge and the center, and between the edges
}


def edge_and_center(**changed: Any) -> Topology:
    """The topology with some settings changed. Raises ValueError with what was expected of a setting."""
    settings = settled(SETTINGS, changed, CHOICES)
    manager, latency = settings["manager"], float(settings["edge_latency_ms"])
    kinds = [kind for kind in (STORES.get(manager), WATCHERS.get(manager), BALANCER, BANK) if kind is not None]
    nodes = [Node(f"{CENTER}-{letter}", DATABASE, GROUP) for letter in "ab"]
    nodes += [Node(f"{CENTER}-{kind}", kind, GROUP) for kind in kinds]
    places = (CENTER, *EDGES)
    return Topology(
        name="edge-and-center",
        centers=(
            Center(CENTER, CENTER, tuple(nodes)),
            *(Center(name, name, (Node(f"{name}-edge", EDGE, GROUP),)) for name in EDGES),
        ),
        links=tuple(Link(one, other, latency) for one in places for other in places if one != other),
        groups=(Group(GROUP, manager),),
        door=Door(EDGES, spread=True),
        service="one front door on 127.0.0.1, outside the centers: HTTP POST /payments",
        settings=settings,
    )
