"""What people do in a disaster, written as steps that can be timed. Each takes the cluster, and raises when it did not work."""

from __future__ import annotations

import json
import time

from topologies.cluster import Cluster, ClusterError, lsn_bytes
from topologies.database import wait_for
from topologies.leader import b64
from topologies.model import Center, Node
from topologies.nodes import SCOPE, dynamic_configuration, standby_centers, stores, upstream
from topologies.redundancy import replay_gaps

REWIND_PATIENCE_S = 8.0  # what Patroni is given to rewind a diverged copy by itself: it takes 2 to 5 s where it does


def region_is_dark(cluster: Cluster, region: str) -> bool:
    """Whether the front door sees none of the region's banks: what a monitoring system would call an outage."""
    seen = cluster.door_servers()
    return not any(seen[c.name].startswith("UP") for c in cluster.topology.region(region))


def remote_center(cluster: Cluster) -> Center:
    return standby_centers(cluster.topology)[0]


def remote_database(cluster: Cluster) -> Node:
    return cluster.databases(remote_center(cluster))[0]


def close_door_to_region(cluster: Cluster, region: str) -> None:
    """The fence towards customers: should the region come back by itself, nobody pays there."""
    cluster.open_door_to([], closed=[c.name for c in cluster.topology.region(region)])


def promote_remote_region(cluster: Cluster) -> Node:
    """dc3's standby cluster becomes the bank's cluster: its standby_cluster setting is taken away. Returns the new primary."""
    node = remote_database(cluster)
    cluster.patroni(node.name, "PATCH", "/config", {"standby_cluster": None})
    wait_for(lambda: writable(cluster, node.name), within_s=30, what=f"{node.name} to be writable", every_s=0.02)
    return node


def writable(cluster: Cluster, node: str) -> bool:
    state = cluster.state(node)
    return state is not None and not state.in_recovery


def open_door_to_remote(cluster: Cluster) -> None:
    """Customers to dc3, as soon as its bank can write (it asks a moment before it is let in)."""
    center = remote_center(cluster)
    bank = f"http://{cluster.addresses.node(center.name + '-bank')}:8080/ready"
    wait_for(lambda: cluster.http_status(bank) == 200, within_s=30, what=f"{center.name}'s bank to be ready", every_s=0.02)
    cluster.open_door_to([center.name])


def rebuild_region_as_standby(cluster: Cluster, region: str) -> None:
    """Region A comes back as the standby side of dc3. Its store comes first, and learns its new place before any Patroni starts.

    Without that, the region would come up as a second primary in its own store.
    """
    topology, source = cluster.topology, remote_center(cluster)
    centers = topology.region(region)
    cluster.restore([str(link) for c in centers for link in topology.links_of(c.name)])
    cluster.restore([f"door->{c.name}" for c in centers])
    cluster.start([n.name for c in centers for n in c.nodes if n.kind in ("etcd", "haproxy")])
    prefix, members = f"/service/{SCOPE}", stores(topology, centers[0])
    wait_for(lambda: cluster.store_call(members, "/v3/kv/range", {"key": b64(f"{prefix}/config")}), within_s=60, what="a quorum")

    slot = f"{region.lower()}_standby"
    remote = remote_database(cluster).name
    cluster.patroni(remote, "PATCH", "/config", {"slots": {slot: {"type": "physical"}}})
    wait_for(
        lambda: cluster.sql(remote, "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", slot),
        within_s=30,
        what=f"slot {slot}",
    )
    config = dynamic_configuration(topology, centers[0]) | {
        "synchronous_mode": False,
        "synchronous_mode_strict": False,
        "slots": None,
        "standby_cluster": upstream(f"{source.name}-haproxy", 5432, slot),
    }
    text = json.dumps({k: v for k, v in config.items() if v is not None})
    changes = [("put", {"key": b64(f"{prefix}/config"), "value": b64(text)})]
    changes += [("deleterange", {"key": b64(f"{prefix}/{key}")}) for key in ("leader", "sync")]
    for verb, body in changes:  # each may be repeated, and a store that has just started may be slow to answer
        wait_for(
            lambda verb=verb, body=body: cluster.store_call(members, f"/v3/kv/{verb}", body),
            within_s=60,
            what=f"the store to {verb}",
        )
    # One database first: several would fight for the one slot, and all but one wait in vain.
    databases = [n.name for c in centers for n in cluster.databases(c)]
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
    refusal: ClusterError | None = None
    try:
        cluster.patroni(old, "POST", "/switchover", {"leader": old, "candidate": new}, timeout_s=60)
    except ClusterError as error:
        refusal = error  # Patroni may stop watching before it is over: what counts is whether it happens
    try:
        wait_for(lambda: writable(cluster, new), within_s=60, what=f"{new} to be primary")
    except TimeoutError as error:
        raise refusal or error from error


def move_primary_home(cluster: Cluster, home: str) -> str:
    """Hand the primary's role back to a synchronous copy in the center `home`, as planned; returns it, or "" if it stands there.

    Raises ClusterError where the primary is in another region: going back from there is no switchover.
    """
    topology = cluster.topology
    old = cluster.wait_primary(within_s=30).name
    here = topology.center_of(old)
    if here.name == home:
        return ""
    if here.region != topology.center(home).region:
        raise ClusterError(f"{old} in region {here.region} is primary: no switchover leads from there to {home}")
    at_home = [n.name for n in cluster.databases(topology.center(home))]

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
    cluster.patroni(node, "POST", "/reinitialize", {"force": True})
    wait_for(lambda: rebuilt(cluster, node), within_s=120, what=f"{node} to be rebuilt and clean", every_s=0.5)


def rebuilt(cluster: Cluster, node: str) -> bool:
    """Streams again, and every page of its new disk is whole."""
    primary = cluster.wait_primary(within_s=10)
    state = cluster.state(primary.name)
    return state is not None and state.streams_to(node) and cluster.state(node) is not None and not cluster.scrub(node)


def rejoin_standbys(cluster: Cluster, *, within_s: float = 90) -> list[str]:
    """Wait until every copy streams again, and rebuild those that went past the fork; returns the rebuilt ones.

    A standby that died may have replayed what its old primary wrote and nobody confirmed. It is ahead of where the new timeline
    began, can't follow it, and Patroni takes no action: PostgreSQL says so in its log twice a second, and goes on asking.
    """
    rebuilt: list[str] = []
    since: dict[str, float] = {}

    def settled() -> bool:
        gaps = replay_gaps(cluster)
        primary = cluster.primary()
        lost = diverged(cluster, primary.name) if primary is not None else []
        for node in [n for n in since if n not in lost]:
            del since[node]  # Patroni rewound it
        for node in lost:
            stuck_s = time.monotonic() - since.setdefault(node, time.monotonic())
            if node not in rebuilt and stuck_s > REWIND_PATIENCE_S:
                cluster.patroni(node, "POST", "/reinitialize", {"force": True})
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
