"""Two primaries take payments for a while, and before the end one of them is rebuilt from the other: nobody finds two any more.

The manager is paused, a copy in the other center is promoted by hand, and the balancer, whose check of that copy is switched off,
sends customers to both. Then the old primary is thrown away and made anew from the new one.

Caught by the samples and the customers' list: while two databases said that they were the primary, payments were acknowledged
that are lost.
"""

from __future__ import annotations

import json

from faults.node_killed import NodeKilled
from harness import runbooks
from harness.conditions import service_restored
from harness.run import Run
from managers import patroni
from runtime.cluster import Cluster
from runtime.database import wait_for
from runtime.leader import b64

VERDICT, CAUGHT_BY = "FAIL", r"^Split brain: dc1-a .* and dc2-a .* payments that were sent then were acknowledged"
OLD, NEW = "dc1-a", "dc2-a"


def balancer(cluster: Cluster, center: str, *commands: str) -> None:
    """Commands to a center's balancer, on its own socket."""
    for command in commands:
        script = (
            "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy.sock')\n"
            f"s.sendall({command.encode()!r} + b'\\n'); print(s.recv(4096).decode())"
        )
        ran = cluster.execute(f"{center}-haproxy", ["python3", "-c", script])
        assert (ran.exit_code, ran.output.strip()) == (0, "")


def paused(cluster: Cluster, node: str) -> bool:
    return bool(json.loads(patroni.call(cluster, node, "GET", "/patroni")).get("pause"))


def sabotage(cluster: Cluster) -> None:
    assert cluster.wait_primary(within_s=10).name == OLD
    patroni.call(cluster, OLD, "PATCH", "/config", {"pause": True})
    for node in (OLD, NEW):  # who has not heard of the pause would set things right
        wait_for(lambda node=node: paused(cluster, node), within_s=20, what="the pause")
    assert cluster.sql(NEW, "SELECT pg_promote(wait_seconds => 20)")[0][0]
    balancer(cluster, "dc1", f"disable health primary/{NEW}", f"set server primary/{NEW} health up")
    # The pool's connections are as old as the first primary: new ones are shared out between both.
    cluster.sql(OLD, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bank'")
    since = cluster.sql(NEW, "SELECT clock_timestamp()")[0][0]  # from here on nothing of one of them reaches the other
    query = "SELECT EXISTS (SELECT FROM payments WHERE committed_at > %s)"
    wait_for(lambda: all(cluster.sql(node, query, since)[0][0] for node in (OLD, NEW)), within_s=60, what="payments on both")


def end_it(cluster: Cluster) -> None:
    """The new primary becomes the manager's, and every copy is made from it."""
    cluster.kill([OLD])
    group = cluster.topology.group_of(NEW)
    stores = patroni.members(cluster.topology, group)
    patroni.store_call(cluster, stores, "/v3/kv/deleterange", {"key": b64(patroni.LEADER_KEY)})
    wait_for(lambda: cluster.manager(NEW).leader(cluster, group) == NEW, within_s=30, what=f"{NEW} to hold the leader key")
    patroni.call(cluster, NEW, "PATCH", "/config", {"pause": None})
    cluster.start([OLD])
    runbooks.rejoin_standbys(cluster, within_s=150)


def body(run: Run) -> None:
    with run.fault(NodeKilled("dc2-haproxy")):
        run.until(service_restored, within_s=60)
    run.step("rebuild the old primary from the new one", end_it)
