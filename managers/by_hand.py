"""Nobody: PostgreSQL's own streaming replication, and people with a runbook. The cheapest, and the slowest by night.

A server that comes back always starts as a copy (runtime/images/server-node), so two primaries take a person who makes them.
Who must confirm a commit is a fixed list: where too few of it are there, payments wait until people change it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from runtime.addresses import Addresses
from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.leader import LeaderChange
from runtime.manager import UPSTREAM_PORT, PrimaryCheck, Program
from runtime.nodes import balancer_of
from runtime.restoring import first_backup
from runtime.server import HBA, archiving, asked_by_sql, parameters, synchronous_list
from topologies.kinds import BALANCER, DATA_DIRECTORY, DATABASE, KINDS, REPOSITORY, STORE
from topologies.model import Group, Node, Topology

MODES = ("strict", "quorum", "off")


class ByHand:
    """See `runtime.manager.Manager`."""

    name = "by-hand"
    ports: dict[str, tuple[int, ...]] = {}  # noqa: RUF012
    takes_over = False

    # What runs
    def check(self, topology: Topology, group: Group) -> None:
        if (mode := topology.settings["synchronous"]) not in MODES:
            raise ValueError(f"synchronous: expected one of {', '.join(MODES)} where people decide; seen {mode!r}")
        if stores := topology.members(group.name, STORE):
            raise ValueError(f"group {group.name}: people keep no store; seen {', '.join(n.name for n in stores)}")

    def program(self, addresses: Addresses, node: Node) -> Program:
        topology, group = addresses.topology, addresses.topology.group(node.group)
        if node.kind == REPOSITORY:
            return Program(("repository",), volume=KINDS[REPOSITORY].state)
        archived, backup = archiving(topology, group)
        config = {**parameters(topology.settings), **archived, "listen_addresses": "*", "hba_file": "/etc/drillbook-hba.conf"}
        config["unix_socket_directories"] = "/run/postgresql"
        seed = group.upstream is None and node == topology.members(group.name)[0]
        if seed:
            config["synchronous_standby_names"] = full_list(topology, group, node.name)
        environment = {
            "CONFIG": "".join(f"{name} = '{value}'\n" for name, value in config.items()),
            "HBA": "\n".join(HBA) + "\n",
            "NAME": node.name,
            "SEED": "1" if seed else "0",
            "UPSTREAM": found_at(topology, group, node),
            **({"BACKUP": backup} if backup else {}),
        }
        return Program(("server",), environment, volume=DATA_DIRECTORY)

    def copy_names(self, topology: Topology, group: Group) -> Mapping[str, str]:
        del topology, group
        return {}

    def primary_check(self, topology: Topology) -> PrimaryCheck:
        del topology
        return asked_by_sql()

    # What was decided: nobody keeps a record of it
    def form(self, cluster: Cluster, group: Group, *, within_s: float) -> None:
        seed = cluster.topology.members(group.name)[0].name
        wait_for(lambda: cluster.state(seed), within_s=within_s, what=f"{seed} to answer")
        first_backup(cluster, group, seed)

    def first_state(self, cluster: Cluster, group: Group) -> None:
        self.make_whole(cluster, group)

    def leader(self, cluster: Cluster, group: Group) -> str | None:
        del cluster, group
        return None

    def follow(self, cluster: Cluster, group: Group, tell: Callable[[LeaderChange], None], stopping: threading.Event) -> None:
        del cluster, group, tell
        stopping.wait()

    def store_gaps(self, cluster: Cluster, group: Group) -> list[str]:
        del cluster, group
        return []

    def candidates(self, cluster: Cluster, primary: str) -> list[str]:
        state = cluster.state(primary)
        return sorted(r["name"] for r in state.replication if r["sync_state"] in ("sync", "quorum")) if state is not None else []

    # What people do
    def take_over(self, cluster: Cluster, group: Group) -> str:
        """The living copy that received most becomes the primary, and waits for those that live.

        An old primary that lives is ended before: it starts again as a copy, once there is another.
        """
        found = {name: cluster.fresh_state(name) for name in names(cluster.topology, group)}
        old = [name for name, state in found.items() if state is not None and not state.in_recovery]
        cluster.kill(old)
        for name in old:
            cluster.wait_dead(name)
        living = {name: state.flush_lsn or 0 for name, state in found.items() if state is not None and state.in_recovery}
        if not living:
            raise ClusterError(f"no copy of {group.name} answers: restore from a backup")
        new = max(sorted(living), key=lambda name: living[name])
        self.promote_node(cluster, group, new, [name for name in living if name != new])
        cluster.start(old)
        return new

    def make_whole(self, cluster: Cluster, group: Group) -> None:
        """Of several primaries the one with the newest timeline stays; once every copy streams, all of them may confirm again."""
        topology = cluster.topology
        states = {name: cluster.fresh_state(name) for name in names(topology, group)}
        found = [(state.timeline or 0, name) for name, state in states.items() if state is not None and not state.in_recovery]
        primaries = [name for _, name in sorted(found, reverse=True)]
        if older := primaries[1:]:
            # While both stand, a balancer may send anybody to either: nothing else is mended before they are gone.
            cluster.kill(older)
            for name in older:
                cluster.wait_dead(name)
            cluster.start(older)
            return
        if group.upstream is not None or not primaries:
            return
        state, wanted = states[primaries[0]], full_list(topology, group, primaries[0])
        assert state is not None
        there = all(state.streams_to(name) for name in states if name != primaries[0])
        if there and state.sync_names != wanted:
            confirm(cluster, primaries[0], wanted)

    def promote_node(self, cluster: Cluster, group: Group, new: str, copies: list[str]) -> None:
        """`new` becomes the primary, and from its first moment on waits for `copies`; where none lives, for who comes back."""
        s = cluster.topology.settings
        text = synchronous_list(s["synchronous"], s["synchronous_node_count"], copies)
        if group.upstream is None:
            confirm(cluster, new, text or full_list(cluster.topology, group, new))
        if not cluster.sql(new, "SELECT pg_promote(true, 30)")[0][0]:
            raise ClusterError(f"{new} was not promoted within 30 s")

    def ask_switch_over(self, cluster: Cluster, old: str, new: str) -> Future[str]:
        pool = ThreadPoolExecutor(1)
        future = pool.submit(self.hand_over, cluster, cluster.topology.group_of(old), old, new)
        pool.shutdown(wait=False)
        return future

    def hand_over(self, cluster: Cluster, group: Group, old: str, new: str) -> str:
        """A fast shutdown of the old primary sends all that was written to every copy before it ends: nothing is left behind."""
        cluster.container(old).kill(signal="SIGINT")
        cluster.wait_dead(old)
        self.promote_node(cluster, group, new, [name for name in names(cluster.topology, group) if name not in (old, new)])
        cluster.start([old])
        return f"{new} is the primary, {old} starts as a copy"

    def promote(self, cluster: Cluster, group: Group) -> None:
        self.promote_node(cluster, group, cluster.topology.members(group.name)[0].name, [])

    def before_restart_as_standby(self, cluster: Cluster, group: Group, source: Group) -> None:
        topology = cluster.topology
        place = f"host={topology.members(source.name, BALANCER)[0].name} port={KINDS[BALANCER].port}\n"
        for name in names(topology, group):
            cluster.put_file(name, f"{DATA_DIRECTORY}/upstream", place)

    def rebuild(self, cluster: Cluster, node: str) -> None:
        cluster.put_file(node, f"{DATA_DIRECTORY}/rebuild", "")
        cluster.kill([node])
        cluster.wait_dead(node)
        cluster.start([node])


def found_at(topology: Topology, group: Group, node: Node) -> str:
    """How a copy finds the primary: among its peers, those in its own center first, whichever accepts writes.

    A copy of another group asks its center's balancer: a list of hosts would keep its promotion waiting for each dead one.
    """
    center = topology.center_of(node.name)
    if group.upstream is not None:
        return f"host={balancer_of(center, node.group)} port={UPSTREAM_PORT}"
    peers = sorted((n for n in topology.members(group.name) if n != node), key=lambda n: topology.center_of(n.name) != center)
    return f"host={','.join(n.name for n in peers)} port={KINDS[DATABASE].port} target_session_attrs=read-write"


def names(topology: Topology, group: Group) -> list[str]:
    return [node.name for node in topology.members(group.name)]


def full_list(topology: Topology, group: Group, primary: str) -> str:
    s = topology.settings
    copies = [name for name in names(topology, group) if name != primary]
    return synchronous_list(s["synchronous"], s["synchronous_node_count"], copies)


def confirm(cluster: Cluster, node: str, wanted: str) -> None:
    """Who must confirm a commit of that server from now on."""
    quoted = wanted.replace("'", "''")
    cluster.sql(node, f"ALTER SYSTEM SET synchronous_standby_names = '{quoted}'")
    cluster.sql(node, "SELECT pg_reload_conf()")
