"""repmgr: a daemon beside each server; when its primary does not answer, the servers that see each other choose a new one.

There is no store and no quorum: servers that are cut off choose among themselves, and nothing fences an old primary that lives.
Here two things keep what customers were told: commits wait for copies of a fixed list, and a server that comes back starts as a
copy. Putting the list back afterwards, and a planned switchover, are people's, as in `managers/by_hand.py`.
"""

from __future__ import annotations

from dataclasses import replace

from managers.by_hand import ByHand, names
from runtime.addresses import Addresses
from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.manager import Program
from runtime.server import BIN, HBA, NETWORKS
from topologies.kinds import DATA_DIRECTORY
from topologies.model import Group, Node, Topology

ROLE = "repmgr"  # of runtime/images/schema.sql, and its database
ATTEMPTS, INTERVAL_S = 3, 1


class Repmgr(ByHand):
    """See `runtime.manager.Manager`."""

    name = "repmgr"
    takes_over = True

    def check(self, topology: Topology, group: Group) -> None:
        super().check(topology, group)
        if group.upstream is not None:
            raise ValueError(f"group {group.name}: repmgr decides for no copy of another group; take by-hand there")

    def program(self, addresses: Addresses, node: Node) -> Program:
        program = super().program(addresses, node)
        topology = addresses.topology
        together = names(topology, topology.group(node.group))
        own = (f"host {ROLE} {ROLE} {NETWORKS} trust", f"host replication {ROLE} {NETWORKS} trust")
        settings = {
            "node_id": together.index(node.name) + 1,
            "node_name": node.name,
            "conninfo": f"host={node.name} port=5432 user={ROLE} dbname={ROLE} connect_timeout=2",
            "data_directory": DATA_DIRECTORY,
            "pg_bindir": BIN,
            "failover": "automatic",
            "promote_command": "/opt/drillbook/repmgr-promote",
            "follow_command": "/opt/drillbook/repmgr-follow %n",
            "reconnect_attempts": ATTEMPTS,
            "reconnect_interval": INTERVAL_S,
            "monitor_interval_secs": 1,
            "primary_notification_timeout": 30,
            "repmgrd_standby_startup_timeout": 30,
            "log_level": "INFO",
        }
        changed = {
            "CONFIG": program.environment["CONFIG"] + "shared_preload_libraries = 'repmgr'\n",
            "HBA": "".join(f"{line}\n" for line in (*own, *HBA)),
            "REPMGR": "".join(f"{name}='{value}'\n" for name, value in settings.items()),
            "COPIES": ",".join(name for name in together if name != node.name),
            "SYNCHRONOUS": topology.settings["synchronous"],
            "COUNT": str(topology.settings["synchronous_node_count"]),
        }
        return replace(program, command=("repmgr",), environment=program.environment | changed)

    def hand_over(self, cluster: Cluster, group: Group, old: str, new: str) -> str:
        """As by hand, while the daemons look away; afterwards they are told who is the primary."""
        repmgr(cluster, new, "service", "pause")
        try:
            told = super().hand_over(cluster, group, old, new)
            repmgr(cluster, new, "primary", "register", "--force")
            place = names(cluster.topology, group).index(new) + 1
            for name in names(cluster.topology, group):
                if name not in (old, new):  # the old one registers when it starts
                    repmgr(cluster, name, "standby", "register", "--force", f"--upstream-node-id={place}")
        finally:
            wait_for(
                lambda: repmgr(cluster, new, "service", "unpause"), within_s=60, what="the daemons to look again", every_s=0.5
            )
        return told

    def take_over(self, cluster: Cluster, group: Group) -> str:
        del cluster, group
        raise ClusterError("repmgr takes over by itself when the old primary does not answer: wait for it")


def repmgr(cluster: Cluster, node: str, *words: str) -> bool:
    """One command of repmgr on a node. Raises ClusterError with what it said where it failed."""
    ran = cluster.execute(node, ["repmgr", "-f", "/etc/repmgr.conf", *words], user="postgres")
    if ran.exit_code != 0:
        raise ClusterError(f"'repmgr {' '.join(words)}' on {node} ended with {ran.exit_code}: {ran.output.strip()[-300:]}")
    return True
