"""Two centers of a city that decide together, and a remote one that copies them: the common ground of several topologies.

The city's centers share one group of databases whose store has a member in each center, so that the loss of either is decided
automatically. The remote one's group is a copy of it with a store of its own: losing the city is decided by people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topologies.kinds import BALANCER, BANK, DATABASE
from topologies.model import Center, Door, Group, Link, Node, Topology
from topologies.settings import BY_HAND, COMMON, STANDBY_SIDE, STORES, WATCHERS

LATENCIES: dict[str, Any] = {
    "same_city_latency_ms": 1,  # one way
    "remote_latency_ms": 15,  # one way
}


def city_settings(remote: str) -> dict[str, Any]:
    """The settings of such a topology. The store's leader stands outside the city, whose centers' loss is drilled."""
    return {**COMMON, "etcd_leader_center": remote, **LATENCIES}


def city_and_remote(
    name: str,
    *,
    city: tuple[str, str],
    remote: str,
    regions: tuple[str, str],
    groups: tuple[str, str],
    sides: bool = False,
    settings: Mapping[str, Any],
) -> Topology:
    """`regions` and `groups`: of the city, then of the remote center. `sides`: both city centers take customers."""
    manager = settings["manager"]
    near, far = float(settings["same_city_latency_ms"]), float(settings["remote_latency_ms"])
    stores = [STORES[manager]] if manager in STORES else []
    watchers = [Node(f"{remote}-{WATCHERS[manager]}", WATCHERS[manager], groups[0])] if manager in WATCHERS else []

    def center(name: str, region: str, group: str, databases: str, *extra: Node) -> Center:
        nodes = [Node(f"{name}-{letter}", DATABASE, group) for letter in databases]
        nodes += [*(Node(f"{name}-{kind}", kind, groups[0]) for kind in stores), *extra]
        nodes += [Node(f"{name}-haproxy", BALANCER, group), Node(f"{name}-bank", BANK, group)]
        return Center(name, region, tuple(nodes))

    own_stores = (Node(f"{remote}-store", kind, groups[1]) for kind in stores)
    one, other = city
    return Topology(
        name=name,
        centers=(
            center(one, regions[0], groups[0], "ab"),
            center(other, regions[0], groups[0], "ab"),
            center(remote, regions[1], groups[1], "a", *own_stores, *watchers),
        ),
        links=tuple(
            link
            for source, target, latency in ((one, other, near), (one, remote, far), (other, remote, far))
            for link in (Link(source, target, latency), Link(target, source, latency))
        ),
        groups=(Group(groups[0], manager), Group(groups[1], STANDBY_SIDE.get(manager, BY_HAND), upstream=groups[0])),
        door=Door(city, closed=(remote,), sides=sides),
        service="one front door on 127.0.0.1, outside the centers: HTTP POST /payments",
        settings=dict(settings),
    )
