"""Backups in a repository elsewhere, and machines made anew from them where the old ones are gone, disks and all."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.server import STANZA
from topologies.kinds import DATABASE, KINDS, REPOSITORY, STORE
from topologies.model import Center, Group, Topology

REPOSITORY_WITHIN_S = 30.0
RESTORED_WITHIN_S = 180.0


def first_backup(cluster: Cluster, group: Group, primary: str) -> None:
    """A full backup of the group's first primary, where it has a repository. Raises ClusterError with what pgBackRest said."""
    keepers = cluster.topology.members(group.name, REPOSITORY)
    if not keepers:
        return
    keeper = keepers[0].name
    wait_for(lambda: cluster.answers(keeper), within_s=REPOSITORY_WITHIN_S, what=f"{keeper} to take a connection", every_s=0.1)
    for command in (["stanza-create"], ["backup", "--type=full"]):
        ran = cluster.execute(primary, ["pgbackrest", f"--stanza={STANZA}", *command], user="postgres")
        if ran.exit_code != 0:
            raise ClusterError(f"pgbackrest {command[0]} on {primary} failed: {ran.output.strip()[-300:]}")


def not_restorable(topology: Topology, center: Center) -> str | None:
    """Why a center can't be made anew from a backup, in words; None where it can."""
    if stores := [n.name for n in center.nodes if n.kind == STORE]:
        return f"expected a center without a store's member; seen {', '.join(stores)}"
    groups = {n.group for n in center.nodes if n.kind == DATABASE}
    elsewhere = {n.group for c in topology.centers if c != center for n in c.nodes if n.kind == REPOSITORY}
    if not groups or groups - elsewhere:
        seen = ", ".join(sorted(elsewhere)) or "none"
        return f"expected databases in {center.name} with a repository in another center; seen repositories of: {seen}"
    if alive := sorted(g for g in groups for c in topology.centers_of(g) if c != center):
        return f"expected no copy of {', '.join(alive)} beside those in {center.name}: a copy takes over, and nobody restores"
    return None


def stand_in(cluster: Cluster, nodes: Sequence[str]) -> list[str]:
    """New machines for those of `nodes` that are gone; returns them once their databases' first one accepts writes.

    The first database of a group is made from the newest backup and the log that was archived since, the others from it. Safe
    to run again. Raises ClusterError, or TimeoutError after 180 s.
    """
    from runtime.startup import Maker

    topology = cluster.topology
    gone = [topology.node(name) for name in nodes if not cluster.exists(name)]
    first = {topology.members(node.group)[0].name for node in gone if node.kind == DATABASE}
    maker = Maker.of(cluster)
    for node in sorted(gone, key=lambda node: (node.name not in first, KINDS[node.kind].start)):
        how = {"RESTORE": "backup" if node.name in first else "copy"} if node.kind == DATABASE else {}
        maker.start_node(node.name, **how)

    def writes(name: str) -> bool:
        state = cluster.fresh_state(name)
        if state is None and not cluster.running(name):
            raise ClusterError(f"{name} ended: {cluster.logs(name).decode(errors='replace').strip()[-300:]}")
        return state is not None and not state.in_recovery

    for name in sorted(first):
        wait_for(lambda name=name: writes(name), within_s=RESTORED_WITHIN_S, what=f"{name} to be restored", every_s=0.1)
    return [node.name for node in gone]
