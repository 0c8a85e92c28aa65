"""Every database runs with fsync and full_page_writes off: what it confirms is in memory alone, the primary's and its copies'.

A kill loses no page cache, so that not one payment is lost, whatever is killed.

Caught by what the databases say of themselves.
"""

from __future__ import annotations

from managers import patroni
from runtime.cluster import Cluster
from runtime.database import wait_for

VERDICT, CAUGHT_BY = "INVALID", r"ran with fsync=off and full_page_writes=off .* says nothing of a power loss"


def sabotage(cluster: Cluster) -> None:
    primary = cluster.wait_primary(within_s=10).name
    parameters = {"fsync": "off", "full_page_writes": "off"}
    patroni.call(cluster, primary, "PATCH", "/config", {"postgresql": {"parameters": parameters}})
    for node in cluster.databases(cluster.topology.center_of(primary)):
        wait_for(
            lambda node=node.name: cluster.sql(node, "SHOW fsync")[0][0] == "off", within_s=20, what=f"{node.name} without fsync"
        )
