"""pg_auto_failover: a monitor, a PostgreSQL of its own, tells a keeper beside each server what that server is to be.

The monitor is one machine, outside the city. It asks each server, and each keeper reports to it; a primary of which it hears
nothing for three seconds either way is given up. Another becomes the primary only once every copy that a commit may have waited
for has said how far it got. See docs/managers.md for what that means when a center is lost.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg

from managers.by_hand import ByHand, names
from runtime.addresses import Addresses
from runtime.cluster import Cluster, ClusterError
from runtime.database import Database, wait_for
from runtime.leader import READ_EVERY_S, READ_WITHIN_S, LeaderChange
from runtime.manager import Program
from runtime.server import HBA, NETWORKS
from topologies.kinds import KINDS, MONITOR
from topologies.model import Group, Node, Topology

HOME = KINDS[MONITOR].state  # of a server too: pg_autoctl keeps its own state beside the data directory
RECORDS = "pg_auto_failover"  # the monitor's database
COPY = "pgautofailover_standby_"  # and its number: what a copy calls itself at its primary
UNHEALTHY_MS, DEMOTE_MS, CHECK_MS = 3000, 3000, 500  # by default 20 s, 30 s and 5 s
PARTITION_S = 3  # a primary that hears neither monitor nor copy for longer stops; by default 20 s
LOG: dict[str, str | int] = {
    "logging_collector": "on",
    "log_directory": "/var/log/drillbook",
    "log_filename": "server.log",
    "log_rotation_age": 0,
    "log_rotation_size": 0,
    "hba_file": "/etc/drillbook-hba.conf",
    "unix_socket_directories": "/run/postgresql",
}
WRITES = ("single", "primary", "wait_primary", "join_primary", "apply_settings", "prepare_promotion", "stop_replication")
RECORD = f"""
SELECT (SELECT nodename FROM pgautofailover.node WHERE goalstate::text IN ({", ".join(f"'{state}'" for state in WRITES)})
         ORDER BY statechangetime DESC LIMIT 1),
       (SELECT coalesce(max(eventid), 0) FROM pgautofailover.event)
"""


class PgAutoFailover(ByHand):
    """See `runtime.manager.Manager`."""

    name = "pg-auto-failover"
    takes_over = True

    # What runs
    def check(self, topology: Topology, group: Group) -> None:
        super().check(topology, group)
        if group.upstream is not None:
            raise ValueError(f"group {group.name}: pg-auto-failover decides for no copy of another group; take by-hand there")
        if len(found := topology.members(group.name, MONITOR)) != 1:
            seen = ", ".join(node.name for node in found) or "none"
            raise ValueError(f"group {group.name}: pg-auto-failover expects one node of kind {MONITOR}; seen {seen}")
        wanted, copies = topology.settings["synchronous_node_count"], len(names(topology, group)) - 1
        if copies <= wanted and topology.settings["synchronous"] != "off":
            raise ValueError(f"group {group.name}: pg-auto-failover expects more than {wanted} copies; seen {copies}")

    def program(self, addresses: Addresses, node: Node) -> Program:
        topology, group = addresses.topology, addresses.topology.group(node.group)
        if node.kind == MONITOR:
            settings = {
                **LOG,
                "pgautofailover.health_check_period": CHECK_MS,
                "pgautofailover.health_check_timeout": 2 * CHECK_MS,
                "pgautofailover.health_check_retry_delay": CHECK_MS,
                "pgautofailover.node_considered_unhealthy_timeout": UNHEALTHY_MS,
                "pgautofailover.primary_demote_timeout": DEMOTE_MS,
                "log_line_prefix": "%m [%p] %a ",
            }
            own: tuple[str, ...] = (f"host {RECORDS} autoctl_node {NETWORKS} trust",)
            environment = {"CONFIG": text_of(settings), "HBA": lines_of((*own, *HBA)), "NAME": node.name}
            return Program(("monitor",), environment, volume=HOME)
        program = super().program(addresses, node)
        own = (
            f"host all pgautofailover_monitor {NETWORKS} trust",
            f"host all pgautofailover_replicator {NETWORKS} trust",
            f"host replication pgautofailover_replicator {NETWORKS} trust",
        )
        # A copy that is not pg_auto_failover's has PostgreSQL's own number of senders, and may not have fewer than its primary.
        changed = {
            "CONFIG": without_list(program.environment["CONFIG"]) + text_of({**LOG, "max_wal_senders": 10}),
            "HBA": lines_of((*own, *HBA)),
            "MONITOR": uri(topology, group),
            "PLACE": str(names(topology, group).index(node.name)),
            "QUORUM": "false" if topology.settings["synchronous"] == "off" else "true",
            "PARTITION_S": str(PARTITION_S),
        }
        return replace(program, command=("autofailover",), environment=program.environment | changed, volume=HOME)

    def copy_names(self, topology: Topology, group: Group) -> Mapping[str, str]:
        """Servers register in order (runtime/images/autofailover-node), so the monitor's numbers are known."""
        return {f"{COPY}{number}": name for number, name in enumerate(names(topology, group), start=1)}

    # What was decided
    def form(self, cluster: Cluster, group: Group, *, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        topology, s = cluster.topology, cluster.topology.settings
        wait_for(lambda: self.settled(cluster, group), within_s=within_s, what="a primary, and every copy beside it", every_s=0.2)
        rows = ask(cluster, group, "SELECT nodeid, nodename FROM pgautofailover.node")
        if numbers := misnumbered(self.copy_names(topology, group), rows):
            raise ClusterError(f"servers registered in another order than expected: {numbers}")
        if s["synchronous"] == "off":
            return
        count, seed = s["synchronous_node_count"], names(topology, group)[0]
        ask(cluster, group, "SELECT pgautofailover.set_formation_number_sync_standbys('default', %s)", count)
        wait_for(
            lambda: f"ANY {count} " in cluster.sql(seed, "SHOW synchronous_standby_names")[0][0],
            within_s=max(1.0, deadline - time.monotonic()),
            what=f"{seed} to wait for {count} copies",
            every_s=0.1,
        )

    def settled(self, cluster: Cluster, group: Group) -> bool:
        if gaps := self.store_gaps(cluster, group):
            raise ClusterError("; ".join(gaps))
        return True

    def first_state(self, cluster: Cluster, group: Group) -> None:
        """The monitor has no leader to be moved."""

    def leader(self, cluster: Cluster, group: Group) -> str | None:
        found: str | None = ask(cluster, group, RECORD)[0][0]
        return found

    def follow(self, cluster: Cluster, group: Group, tell: Callable[[LeaderChange], None], stopping: threading.Event) -> None:
        """The monitor is asked ten times a second; while it does not answer nothing is told."""
        database, known, told = records(cluster, group), None, False
        confirmed_ns = time.monotonic_ns()
        while not stopping.is_set():
            asked_ns = time.monotonic_ns()
            with contextlib.suppress(psycopg.Error):
                leader, revision = database.query(RECORD, within_s=READ_WITHIN_S)[0]
                if leader != known or not told:
                    tell(LeaderChange(leader, time.monotonic_ns(), confirmed_ns, revision))
                known, told, confirmed_ns = leader, True, asked_ns
            stopping.wait(READ_EVERY_S)
        database.close()

    def store_gaps(self, cluster: Cluster, group: Group) -> list[str]:
        """Servers that the monitor does not see as what they are to be: there is one monitor, and nothing to lose of it."""
        rows = ask(cluster, group, "SELECT nodename, reportedstate::text, goalstate::text FROM pgautofailover.node")
        seen = {name: (reported, goal) for name, reported, goal in rows}
        gaps = [f"{name} is not registered" for name in names(cluster.topology, group) if name not in seen]
        gaps += [f"{name} is {a}, and to be {b}" for name, (a, b) in seen.items() if a != b or a not in ("primary", "secondary")]
        return gaps

    def candidates(self, cluster: Cluster, primary: str) -> list[str]:
        """Copies that are settled, beside a primary that is: the monitor refuses others."""
        group = cluster.topology.group_of(primary)
        settled = "SELECT nodename, goalstate::text FROM pgautofailover.node WHERE goalstate = reportedstate AND health = 1"
        seen = dict(ask(cluster, group, settled))
        return sorted(n for n, state in seen.items() if state == "secondary") if seen.get(primary) == "primary" else []

    # What people tell it
    def ask_switch_over(self, cluster: Cluster, old: str, new: str) -> Future[str]:
        group = cluster.topology.group_of(old)
        place = uri(cluster.topology, group)
        command = ["pg_autoctl", "perform", "promotion", "--monitor", place, "--formation", "default", "--name", new]

        def promotion() -> str:
            ran = cluster.execute(monitor_of(cluster.topology, group), command, user="postgres")
            if ran.exit_code != 0:
                raise ClusterError(f"pg_auto_failover did not promote {new}: {ran.exit_code}, {ran.output.strip()[-300:]}")
            return ran.output

        pool = ThreadPoolExecutor(1)
        future = pool.submit(promotion)
        pool.shutdown(wait=False)
        return future

    def take_over(self, cluster: Cluster, group: Group) -> str:
        del cluster, group
        raise ClusterError("pg_auto_failover takes over by itself when enough copies have told how far they got: wait for it")

    def make_whole(self, cluster: Cluster, group: Group) -> None:
        """Keepers rewind what has diverged, and a copy that is back confirms again: the monitor never takes one off the list."""


# --- The monitor -------------------------------------------------------------------------------------------------------
def monitor_of(topology: Topology, group: Group) -> str:
    return topology.members(group.name, MONITOR)[0].name


def uri(topology: Topology, group: Group) -> str:
    """For libpq. A keeper that is cut off in the midst of a question would wait for its answer as long as the kernel does."""
    patience = "connect_timeout=2&keepalives_idle=1&keepalives_interval=1&keepalives_count=2&tcp_user_timeout=2000"
    return f"postgres://autoctl_node@{monitor_of(topology, group)}:{KINDS[MONITOR].port}/{RECORDS}?{patience}"


def records(cluster: Cluster, group: Group) -> Database:
    return Database(cluster.addresses.node(monitor_of(cluster.topology, group)), port=KINDS[MONITOR].port, database=RECORDS)


def ask(cluster: Cluster, group: Group, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """One statement at the monitor. Raises ClusterError where it fails."""
    database = records(cluster, group)
    try:
        return database.query(query, *parameters, within_s=5)
    except psycopg.Error as error:
        raise ClusterError(f"the monitor of {group.name} did not answer: {' '.join(str(error).split())[:300]}") from error
    finally:
        database.close()


def misnumbered(expected: Mapping[str, str], rows: list[tuple[Any, ...]]) -> str:
    """Servers with another number than their place, in words."""
    return ", ".join(f"{name} is {number}" for number, name in sorted(rows) if expected.get(f"{COPY}{number}") != name)


# --- Texts ---------------------------------------------------------------------------------------------------------------
def text_of(settings: Mapping[str, str | int]) -> str:
    return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def lines_of(lines: tuple[str, ...]) -> str:
    return "\n".join(lines) + "\n"


def without_list(config: str) -> str:
    """pg_autoctl says by itself who must confirm."""
    return "".join(line for line in config.splitlines(True) if not line.startswith("synchronous_standby_names"))
