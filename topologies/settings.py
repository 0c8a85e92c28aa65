"""Settings that topologies share: defaults, what each may be, and how bad ones are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topologies.kinds import MONITOR, STORE, WATCHER
from topologies.model import BANDWIDTH_KBPS

# What a manager, the balancers and the door are given in every topology.
COMMON: dict[str, Any] = {
    "manager": "patroni",  # who decides which database is the primary: a file of managers/
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
    # Where the leader of the first group's store is put at the start. An election prolongs every lease: with the leader in a
    # center whose loss is drilled, that loss would be noticed 2 to 3 s later.
    "etcd_leader_center": "",
    "balancer_check_ms": 300,
    "balancer_fast_check_ms": 200,
    "balancer_check_timeout_ms": 2000,  # of an answer; who is dead takes no connection, which is seen sooner
    "door_check_ms": 300,
    "door_check_timeout_ms": 2000,  # of an answer; a dead center is seen sooner, because it takes no connection
}
STANDBY_SIDE = {
    "patroni": "patroni",
    "patroni-watched": "patroni",
}  # who decides for a copy of another group; elsewhere people do
BY_HAND = "by-hand"
# Managers with a program that stands once, outside the centers whose loss is drilled, and its kind of node.
WATCHERS = {"patroni-watched": WATCHER, "pg-auto-failover": MONITOR}
STORES = {"patroni": STORE, "patroni-watched": STORE}  # managers that keep a store of their own, and its kind of node
SYNCHRONOUS = ("strict", "plain", "quorum", "off")
# Patroni's own lower bounds, and what a line can be as narrow as.
NUMBER_MINIMUM = {"ttl_s": 20, "loop_wait_s": 1, "retry_timeout_s": 3, "front_bandwidth_kbps": BANDWIDTH_KBPS[0]}


def settled(defaults: Mapping[str, Any], changed: Mapping[str, Any], choices: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The defaults with what is changed. Raises ValueError with what was expected of a setting, and what was seen."""
    for name in changed:
        if name not in defaults:
            raise ValueError(f"no setting {name!r}; there are {', '.join(defaults)}")
    return {**defaults, **{name: checked(name, value, defaults[name], choices.get(name)) for name, value in changed.items()}}


def checked(name: str, value: Any, default: Any, choices: tuple[str, ...] | None) -> Any:
    """The value as the default's type, where it is one of the choices, or a number that is allowed."""
    if choices is not None:
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}; seen {value!r}")
        return value
    kind = type(default)
    if kind is str:
        return str(value)
    try:
        number = kind(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected a {'whole number' if kind is int else 'number'}; seen {value!r}") from None
    if number != float(value):
        raise ValueError(f"{name}: expected a whole number; seen {value!r}")
    if number < NUMBER_MINIMUM.get(name, 0):
        raise ValueError(f"{name}: expected at least {NUMBER_MINIMUM.get(name, 0)}; seen {value!r}")
    return number
