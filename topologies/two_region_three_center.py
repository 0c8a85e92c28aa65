"""两地三中心: region A has dc1 (production) and dc2 (same city), region B has dc3 (remote).

dc1 and dc2 share one group of databases whose store has a member in each center, so that the loss of either is decided
automatically. dc3's group is a copy of it with a store of its own: losing region A is decided by people.
"""

from __future__ import annotations

from typing import Any

from topologies.kinds import BALANCER, BANK, DATABASE
from topologies.model import Center, Door, Group, Link, Node, Topology
from topologies.settings import BY_HAND, COMMON, STANDBY_SIDE, STORES, SYNCHRONOUS, WATCHERS, settled

CITY, REMOTE = "region-a", "region-b"
CHOICES = {"synchronous": SYNCHRONOUS, "etcd_leader_center": ("dc1", "dc2", "dc3")}
SETTINGS: dict[str, Any] = {
    **COMMON,
    "etcd_leader_center": "dc3",  # outside the city, whose centers' loss is drilled
    "same_city_latency_ms": 1,  # one way
    "remote_latency_ms": 15,  # one way
}


def two_region_three_center(**changed: Any) -> Topology:
    """The topology with some settings changed. Raises ValueError with what was expected of a setting."""
    settings = settled(SETTINGS, changed, CHOICES)
    manager = settings["manager"]
    city, remote = float(settings["same_city_latency_ms"]), float(settings["remote_latency_ms"])

    stores = [STORES[manager]] if manager in STORES else []
    watchers = [Node(f"dc3-{WATCHERS[manager]}", WATCHERS[manager], CITY)] if manager in WATCHERS else []

    def center(name: str, region: str, group: str, databases: str, *extra: Node) -> Center:
        nodes = [Node(f"{name}-{letter}", DATABASE, group) for letter in databases]
        nodes += [*(Node(f"{name}-{kind}", kind, CITY) for kind in stores), *extra]
        nodes += [Node(f"{name}-haproxy", BALANCER, group), Node(f"{name}-bank", BANK, group)]
        return Center(name, region, tuple(nodes))

    return Topology(
        name="two-region-three-center",
        centers=(
            center("dc1", "A", CITY, "ab"),
            center("dc2", "A", CITY, "ab"),
            center("dc3", "B", REMOTE, "a", *(Node("dc3-store", kind, REMOTE) for kind in stores), *watchers),
        ),
        links=tuple(
            link
            for one, other, latency in (("dc1", "dc2", city), ("dc1", "dc3", remote), ("dc2", "dc3", remote))
            for link in (Link(one, other, latency), Link(other, one, latency))
        ),
        groups=(Group(CITY, manager), Group(REMOTE, STANDBY_SIDE.get(manager, BY_HAND), upstream=CITY)),
        door=Door(("dc1", "dc2"), closed=("dc3",)),
        service="one front door on 127.0.0.1, outside the centers: HTTP POST /payments",
        settings=settings,
    )
