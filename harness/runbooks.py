"""What people do in a disaster, written as steps that can be timed. Each takes the cluster, and raises when it did not work."""

from __future__ import annotations

import math
import time

from runtime.addresses import DOOR
from runtime.cluster import Cluster, ClusterError, lsn_bytes
from runtime.database import wait_for
from runtime.manager import manager_of
from runtime.nodes import bank_of, entry_of
from runtime.redundancy import rebuilt, replay_gaps
from topologies.kinds import BANK, DATABASE, KINDS
from topologies.model import Center, Group, Node

LOOK_AT_LINES_S = 2.0
FULL_SHARE, FULL_WITHIN_S = 0.9, 20.0  # of its bandwidth
REWIND_PATIENCE_S = 8.0  # what a manager is given to rewind a diverged copy by itself: it takes 2 to 5 s where it does


def region_is_dark(cluster: Cluster, region: str) -> bool:
    """Whether the front door sees none of the region's banks: what a monitoring system would call an outage."""
    seen = cluster.door_servers()
    return not any(seen[c.name].startswith("UP") for c in cluster.topology.region(region))


def standby_side(cluster: Cluster) -> Group:
    """The group that takes over when people say so: the first one, where there are several."""
    return cluster.topology.standby_sides()[0]


def remote_center(cluster: Cluster) -> Center:
    return cluster.topology.centers_of(standby_side(cluster).name)[0]


def close_door_to_region(cluster: Cluster, region: str) -> None:
    """The fence towards customers: should the region come back by itself, nobody pays there."""
    cluster.open_door_to([], closed=[c.name for c in cluster.topology.region(region)])


def promote_remote_region(cluster: Cluster) -> Node:
    """The standby side becomes the bank's primary side. Returns the new primary."""
    group = standby_side(cluster)
    node = cluster.topology.members(group.name)[0]
    manager_of(group).promote(cluster, group)
    wait_for(lambda: writable(cluster, node.name), within_s=30, what=f"{node.name} to be writable", every_s=0.02)
    return node


def writable(cluster: Cluster, node: str) -> bool:
    state = cluster.state(node)
    return state is not None and not state.in_recovery


def open_door_to_remote(cluster: Cluster) -> None:
    """Customers to the standby side, as soon as its bank can write (it asks a moment before it is let in)."""
    center = remote_center(cluster)
    bank = f"http://{cluster.addresses.node(bank_of(center))}:{KINDS[BANK].port}{KINDS[BANK].asked}"
    wait_for(lambda: cluster.http_status(bank) == 200, within_s=30, what=f"{center.name}'s bank to be ready", every_s=0.02)
    cluster.open_door_to([center.name])


def lines_are_full(cluster: Cluster) -> list[str]:
    """What people look at when customers wait: whether the lines of the open centers are what is too narrow. Returns those.

    Raises TimeoutError where not all of them are, within 20 s: then another way in would help nobody.
    """
    topology = cluster.topology
    seen = cluster.door_servers()
    wanted = [center for center, status in seen.items() if not status.startswith("MAINT")]
    use = dict.fromkeys(wanted, 0.0)  # the most that was seen: a front that turns customers away for a moment empties its line

    def full() -> bool:
        before, began = {str(link): cluster.passed(str(link)) for link in topology.links}, time.monotonic()
        time.sleep(LOOK_AT_LINES_S)
        after, span_s = {path: cluster.passed(path) for path in before}, time.monotonic() - began
        for link in topology.links:
            kbps = (after[str(link)].bytes - before[str(link)].bytes) * 8 / 1000 / span_s
            for center in {link.source, link.target} & set(wanted):
                use[center] = max(use[center], kbps / (link.bandwidth_kbps or math.inf))
        if idle := [f"{center} {use[center]:.0%}" for center in wanted if use[center] < FULL_SHARE]:
            raise ClusterError(f"the lines carry less than {FULL_SHARE:.0%} of what they can: {', '.join(idle)}")
        return True

    wait_for(full, within_s=FULL_WITHIN_S, what=f"full lines to {', '.join(wanted)}", every_s=0.1)
    return wanted


def open_another_center(cluster: Cluster) -> str:
    """Customers into the first center that the door keeps closed, once its front or bank says that it can pay; returns it."""
    topology = cluster.topology
    center = next((c for c, status in cluster.door_servers().items() if status.startswith("MAINT")), None)
    if center is None:
        raise ClusterError("the door keeps no center closed: expected one that customers can be let into; seen none")
    entry = entry_of(topology.center(center))
    ready = f"http://{cluster.addresses.node(entry.name)}:{KINDS[entry.kind].port}{KINDS[entry.kind].asked}"
    wait_for(lambda: cluster.http_status(ready) == 200, within_s=30, what=f"{entry.name} to be ready", every_s=0.05)
    cluster.open_door_to([center])
    wait_for(lambda: cluster.door_servers()[center].startswith("UP"), within_s=30, what=f"the door to see {center}", every_s=0.05)
    return center


def close_spare_centers(cluster: Cluster) -> list[str]:
    """Nobody is let into the centers that are closed when all goes as usual; returns them."""
    spare = list(cluster.topology.door.closed)
    cluster.open_door_to([], closed=spare)
    return spare


def rebuild_region_as_standby(cluster: Cluster, region: str) -> None:
    """A region comes back as a copy of the side that took over. Its manager learns its new place before any database starts.

    Without that, the region would come up as a second primary.
    """
    topology, source = cluster.topology, standby_side(cluster)
    centers = topology.region(region)
    cluster.restore([str(link) for c in centers for link in topology.links_of(c.name)])
    cluster.restore([f"{DOOR}->{c.name}" for c in centers])
    cluster.start([n.name for c in centers for n in c.nodes if n.kind not in (DATABASE, BANK)])
    databases = [n.name for c in centers for n in cluster.databases(c)]
    group = topology.group_of(databases[0])
    manager_of(group).before_restart_as_standby(cluster, group, source)
    # One database first: several would fight for the one slot, and all but one wait in vain.
    remote = topology.members(source.name)[0].name
    cluster.start(databases[:1])
    wait_for(lambda: streams_from(cluster, remote), within_s=90, what=f"{databases[0]} to stream from {remote}", every_s=0.2)
    cluster.start([n.name for c in centers for n in c.nodes])


def streams_from(cluster: Cluster, source: str) -> bool:
    state = cluster.state(source)
    return state is not None and any(r["state"] == "streaming" for r in state.replication)


def move_primary_to_clean_copy(cluster: Cluster, damaged: str) -> str:
    """Hand the primary's role to a synchronous copy whose pages are all whole; returns the primary then.

    A damaged standby needs no move.
    """
    state = cluster.state(damaged)
    if state is None or state.in_recovery:
        return cluster.wait_primary(within_s=10).name
    candidates: list[str] = sorted(r["name"] for r in state.replication if r["sync_state"] in ("sync", "quorum"))
    clean = next((c for c in candidates if not cluster.scrub(c)), None)
    if clean is None:
        raise ClusterError(f"no clean synchronous copy among {', '.join(candidates) or 'none'}: restore from a backup")
    switch_over(cluster, damaged, clean)
    return clean


def switch_over(cluster: Cluster, old: str, new: str) -> None:
    """Hand the primary's role from `old` to `new`; returns once `new` is writable."""
    asked = cluster.manager(old).ask_switch_over(cluster, old, new)
    try:
        wait_for(lambda: writable(cluster, new), within_s=60, what=f"{new} to be primary")
    except TimeoutError as error:  # a manager may stop watching before it is over: what counts is whether it happens
        raise (asked.exception() if asked.done() else None) or error from error


def move_primary_home(cluster: Cluster, home: str) -> str:
    """Hand the primary's role back to a synchronous copy in the center `home`, as planned; returns it, or "" if it stands there.

    Raises ClusterError where `home` has no copy of the primary's group: going back from there is no switchover.
    """
    topology = cluster.topology
    old = cluster.wait_primary(within_s=30).name
    if topology.center_of(old).name == home:
        return ""
    group = topology.group_of(old).name
    at_home = [n.name for n in topology.members(group) if topology.center_of(n.name).name == home]
    if not at_home:
        raise ClusterError(f"{old} of group {group} is primary: no switchover leads from there to {home}")

    def in_sync() -> str | None:
        state = cluster.state(old)
        names = [r["name"] for r in state.replication if r["sync_state"] in ("sync", "quorum")] if state is not None else []
        return next((name for name in at_home if name in names), None)

    new: str = wait_for(in_sync, within_s=60, what=f"a synchronous copy in {home}", every_s=0.2)
    switch_over(cluster, old, new)
    return new


def rebuild_node(cluster: Cluster, node: str) -> None:
    """Throw a damaged copy away and make a new one from the primary; returns once it streams."""
    wait_for(
        lambda: (s := cluster.state(node)) is not None and s.in_recovery, within_s=60, what=f"{node} to be a standby", every_s=0.2
    )
    cluster.manager(node).rebuild(cluster, node)
    wait_for(lambda: rebuilt(cluster, node), within_s=120, what=f"{node} to be rebuilt and clean", every_s=0.5)


def rejoin_standbys(cluster: Cluster, *, within_s: float = 90) -> list[str]:
    """Wait until every copy streams again, and rebuild those that went past the fork; returns the rebuilt ones.

    A standby that died may have replayed what its old primary wrote and nobody confirmed. It is ahead of where the new timeline
    began, can't follow it, and Patroni takes no action: PostgreSQL says so in its log twice a second, and goes on asking.
    """
    rebuilt: list[str] = []
    since: dict[str, float] = {}

    def settled() -> bool:
        for group in cluster.topology.groups:
            manager_of(group).make_whole(cluster, group)
        gaps = replay_gaps(cluster)
        primary = cluster.primary()
        lost = diverged(cluster, primary.name) if primary is not None else []
        for node in [n for n in since if n not in lost]:
            del since[node]  # its manager rewound it
        for node in lost:
            stuck_s = time.monotonic() - since.setdefault(node, time.monotonic())
            if node not in rebuilt and stuck_s > REWIND_PATIENCE_S:
                cluster.manager(node).rebuild(cluster, node)
                rebuilt.append(node)
        if gaps:
            raise ClusterError("; ".join(gaps))
        return True

    wait_for(settled, within_s=within_s, what="every copy to stream", every_s=0.5)
    return rebuilt


def diverged(cluster: Cluster, primary: str) -> list[str]:
    """Standbys whose replay is past the end of their timeline in the primary's history: they can never follow it."""
    states = cluster.states()
    source = states.get(primary)
    if source is None or source.timeline is None:
        return []
    ends = timeline_ends(cluster, primary, source.timeline)
    found = []
    for node, state in states.items():
        if state is None or not state.in_recovery or state.timeline == source.timeline:
            continue  # what it receives now is the new timeline: it follows
        timeline = cluster.sql(node, "SELECT timeline_id FROM pg_control_checkpoint()")[0][0]
        if timeline in ends and (state.replay_lsn or 0) > ends[timeline]:
            found.append(node)
    return found


def timeline_ends(cluster: Cluster, primary: str, timeline: int) -> dict[int, int]:
    """Where each earlier timeline ended (bytes), by the primary's own history file."""
    if timeline == 1:
        return {}
    text = cluster.sql(primary, f"SELECT pg_read_file('pg_wal/{timeline:08X}.history')")[0][0]
    rows = [line.split("\t") for line in text.splitlines() if line and line[0].isdigit()]
    return {int(row[0]): lsn_bytes(row[1]) for row in rows}


# Who holds up others and waits for nobody: the oldest first.
ROOTS = """
SELECT DISTINCT b.pid, b.application_name, b.xact_start
  FROM pg_stat_activity a CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) AS blocking(pid)
  JOIN pg_stat_activity b ON b.pid = blocking.pid
 WHERE cardinality(pg_blocking_pids(b.pid)) = 0 AND b.xact_start < clock_timestamp() - make_interval(secs => %s)
 ORDER BY b.xact_start
"""
BLOCKS_FOR_S = 3.0  # whoever pays is done long before


def end_blocking_sessions(cluster: Cluster) -> list[str]:
    """End every session that others wait for and whose transaction is older than 3 s. Returns whom: name and process id.

    Raises ClusterError where there is none.
    """
    primary = cluster.wait_primary(within_s=30).name
    found = cluster.sql(primary, ROOTS, BLOCKS_FOR_S)
    if not found:
        raise ClusterError(f"expected a session on {primary} that others wait for; seen none")
    for pid, _, _ in found:
        cluster.sql(primary, "SELECT pg_terminate_backend(%s)", pid)
    return [f"{name or 'a session'} ({pid})" for pid, name, _ in found]
