"""两地三中心: region A has dc1 (production) and dc2 (same city), region B has dc3 (remote).

dc1 and dc2 share one PostgreSQL cluster whose store has a member in each center, so that the loss of either is decided
automatically. dc3 is a standby cluster with a store of its own: losing region A is decided by people.
"""

from __future__ import annotations

from typing import Any

from topologies.model import Center, Link, Node, Topology

CHOICES = {"synchronous": ("strict", "plain", "quorum", "off"), "etcd_leader_center": ("dc1", "dc2", "dc3")}

SETTINGS: dict[str, Any] = {
    # strict: never acknowledge without a synchronous copy; plain: Patroni's synchronous_mode alone, which acknowledges without
    # any for 1 to 2 s after a takeover; quorum: any of the candidates; off: asynchronous
    "synchronous": "strict",
    "synchronous_node_count": 2,  # two nodes to a center: the second copy is in the other center, by pigeonhole
    "ttl_s": 20,  # the smallest lease that Patroni accepts
    "loop_wait_s": 1,
    "retry_timeout_s": 3,
    "primary_start_timeout_s": 0,
    "maximum_lag_on_failover_bytes": 1048576,
    "wal_sender_timeout_s": 3,  # at its default of 60 s a cut link stalls writes for half a minute
    "etcd_heartbeat_ms": 100,
    "etcd_election_ms": 1000,
    # Where the leader of region A's store is put at the start. An election prolongs every lease: with the leader in a city
    # center, that center's loss would be noticed 2 to 3 s later.
    "etcd_leader_center": "dc3",
    "balancer_check_ms": 300,
    "balancer_fast_check_ms": 200,
    "balancer_check_timeout_ms": 2000,  # of an answer; who is dead takes no connection, which is seen sooner
    "door_check_ms": 300,
    "door_check_timeout_ms": 2000,  # of an answer; a dead center is seen sooner, because it takes no connection
    "same_city_latency_ms": 1,  # one way
    "remote_latency_ms": 15,  # one way
}

NUMBER_MINIMUM = {"ttl_s": 20, "loop_wait_s": 1, "retry_timeout_s": 3}  # Patroni's own lower bounds


def two_region_three_center(**changed: Any) -> Topology:
    """The topology with some settings changed. Raises ValueError with what was expected of a setting."""
    settings = {**SETTINGS}
    for name, value in changed.items():
        if name not in SETTINGS:
            raise ValueError(f"no setting {name!r}; there are {', '.join(SETTINGS)}")
        settings[name] = checked(name, value)
    city, remote = float(settings["same_city_latency_ms"]), float(settings["remote_latency_ms"])

    def center(name: str, region: str, databases: str, *extra: Node) -> Center:
        nodes = [Node(f"{name}-{letter}", "postgres") for letter in databases]
        nodes += [Node(f"{name}-etcd", "etcd"), *extra, Node(f"{name}-haproxy", "haproxy"), Node(f"{name}-bank", "bank")]
        return Center(name, region, tuple(nodes))

    return Topology(
        name="two-region-three-center",
        centers=(
            center("dc1", "A", "ab"),
            center("dc2", "A", "ab"),
            center("dc3", "B", "a", Node("dc3-store", "etcd")),
        ),
        links=tuple(
            link
            for one, other, latency in (("dc1", "dc2", city), ("dc1", "dc3", remote), ("dc2", "dc3", remote))
            for link in (Link(one, other, latency), Link(other, one, latency))
        ),
        service="one front door on 127.0.0.1, outside the centers: HTTP POST /payments",
        settings=settings,
    )


def checked(name: str, value: Any) -> Any:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise ValueError(f"{name}: expected one of {', '.join(CHOICES[name])}; seen {value!r}")
        return value
    kind = type(SETTINGS[name])
    try:
        number = kind(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected a {'whole number' if kind is int else 'number'}; seen {value!r}") from None
    if number != float(value):
        raise ValueError(f"{name}: expected a whole number; seen {value!r}")
    if number < NUMBER_MINIMUM.get(name, 0):
        raise ValueError(f"{name}: expected at least {NUMBER_MINIMUM.get(name, 0)}; seen {value!r}")
    return number
