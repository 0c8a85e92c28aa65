"""Edges that are running: what they say of themselves, and what their stores hold."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from runtime.cluster import HTTP_TIMEOUT_S, Cluster, ClusterError
from topologies.kinds import EDGE, KINDS

FILE = f"{KINDS[EDGE].state}/edge.db"


@dataclass(frozen=True)
class EdgeState:
    """`unforwarded`: what it has authorised and the center has not answered to. `synchronous`: SQLite's word on its commits."""

    cut_off: bool
    unforwarded: int
    synchronous: int


def edges(cluster: Cluster) -> list[str]:
    return [node.name for node in cluster.topology.nodes(EDGE)]


def edge_state(cluster: Cluster, node: str) -> EdgeState:
    """Raises ClusterError where it does not answer, or says something else."""
    url = f"http://{cluster.addresses.node(node)}:{KINDS[EDGE].port}{KINDS[EDGE].asked}"
    try:
        told = cluster.http().get(url, timeout=HTTP_TIMEOUT_S).json()
        return EdgeState(bool(told["cut_off"]), int(told["unforwarded"]), int(told["synchronous"]))
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"expected {node} to tell its state at {url}; seen {type(error).__name__}: {error}") from error


def unforwarded(cluster: Cluster) -> list[str]:
    """What edges still have to forward, in words; empty when all is forwarded."""
    states = {node: edge_state(cluster, node) for node in edges(cluster)}
    return [
        f"{node} has {state.unforwarded} payments to forward{', and is cut off' if state.cut_off else ''}"
        for node, state in states.items()
        if state.unforwarded or state.cut_off
    ]


def read_store(cluster: Cluster, node: str, *, since: str) -> bytes:
    """What an edge has authorised at or after a wall time, as CSV, read from its file by another program. Raises ClusterError."""
    ran = cluster.execute(node, ["python3", "/opt/drillbook/edge_store.py", FILE, since])
    if ran.exit_code != 0:
        raise ClusterError(f"the store of {node} could not be read: {ran.output.strip()[-300:]}")
    return ran.output.encode()
