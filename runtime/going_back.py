"""Back to the moment before a statement that nobody meant: found in the log, restored in place from a backup and the log, copied.

What was committed since is not in the restored bank: whoever goes back gives it up. The primary is the one that is restored; its
copies are stopped before, keep all they have until it writes again, and are made anew from it then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.manager import manager_of
from runtime.redundancy import fully_redundant
from runtime.server import BIN
from topologies.kinds import DATA_DIRECTORY, REPOSITORY
from topologies.model import Group, Topology

ARCHIVED_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0
RESTORED_WITHIN_S = 180.0
COPIED_WITHIN_S = 120.0
# What pgBackRest writes for one recovery. A copy would inherit it, and stop at that transaction for ever.
RECOVERY = ("restore_command", "recovery_target_xid", "recovery_target_inclusive", "recovery_target_action")
DIFFER = """
SELECT count(*) FROM accounts
  LEFT JOIN (SELECT account, sum(amount_minor) AS moved FROM entries GROUP BY account) e ON account = id
 WHERE balance_minor <> opening_minor + coalesce(moved, 0)
"""
DROPPED = re.compile(r"tx:\s+(\d+), lsn: (\S+), .*desc: COMMIT (\S+ \S+ \S+); rels: (.*?)(?:;|$)")


@dataclass(frozen=True)
class Statement:
    """A transaction that threw a table's rows away: its number, where its commit lies in the log, and when it was, in words."""

    xid: int
    lsn: str
    at: str


@dataclass(frozen=True)
class Restored:
    """The database that went back, and the timeline that it writes since."""

    node: str
    timeline: int


def no_way_back(topology: Topology) -> str | None:
    """Why a bank can't be taken back in time, in words; None where it can."""
    if len(topology.groups) != 1:
        return f"expected one group of databases; seen {', '.join(group.name for group in topology.groups)}"
    if not topology.members(topology.groups[0].name, REPOSITORY):
        return f"expected a repository of group {topology.groups[0].name}; seen none"
    return None


def books_differ(cluster: Cluster, node: str) -> int:
    """On how many accounts the balance is not the opening one plus its entries, as one database sees it."""
    return int(cluster.sql(node, DIFFER)[0][0])


def find_statement(cluster: Cluster, node: str) -> Statement:
    """The last transaction in the primary's log that threw a file of the bank's database away. Raises ClusterError.

    TRUNCATE gives a table a new, empty file, and the record of its commit names the old one.
    """
    ours = f"base/{cluster.sql(node, 'SELECT oid FROM pg_database WHERE datname = current_database()')[0][0]}/"
    timeline = cluster.sql(node, "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")[0][0]
    # From the oldest segment on. It ends where the log ends, and calls that an error.
    script = (
        f"cd {DATA_DIRECTORY}/pg_wal; first=$(ls | grep -E '^{timeline}[0-9A-F]{{16}}$' | sort | head -n 1)\n"
        "start=$(echo $first | sed -E 's|^.{8}(.{8}).{6}(..)$|\\1/\\2000000|')\n"
        f"{BIN}/pg_waldump --path=. --timeline=$((0x{timeline})) --start=$start --rmgr=Transaction 2>/tmp/waldump.err"
        " | grep 'rels: base/' || tail -n 1 /tmp/waldump.err"
    )
    ran = cluster.execute(node, [], user="postgres", stdin=script)
    found = [match for line in ran.output.splitlines() if (match := DROPPED.search(line)) and ours in match[4]]
    if not found:
        raise ClusterError(
            f"expected a transaction in {node}'s log that threw a table's file away; seen: {ran.output.strip()[-200:]}"
        )
    return Statement(int(found[-1][1]), found[-1][2], found[-1][3])


def archive_all(cluster: Cluster, node: str) -> str:
    """The log as far as it is written now stands in the repository; returns its last segment. Raises TimeoutError after 60 s."""
    segment = str(cluster.sql(node, "SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0])
    cluster.sql(node, "SELECT pg_switch_wal()")

    def archived() -> bool:
        last = cluster.sql(node, "SELECT last_archived_wal FROM pg_stat_archiver")[0][0]
        return last is not None and str(last)[:24] >= segment

    wait_for(archived, within_s=ARCHIVED_WITHIN_S, what=f"{segment} of {node}'s log to stand in the repository")
    return segment


def restore_before(cluster: Cluster, node: str, statement: Statement) -> Restored:
    """Every database of the group is stopped, and that one restored to the moment before; returns once it accepts writes.

    Raises ClusterError, or TimeoutError after 180 s.
    """
    group = cluster.topology.group_of(node)
    before = cluster.fresh_state(node)
    stop(cluster, [node, *copies_of(cluster, group, node)])
    options = f"--type=xid --target={statement.xid} --target-exclusive --target-action=promote\n"
    cluster.put_file(node, f"{DATA_DIRECTORY}/restore", options)
    cluster.start([node])

    def writes() -> int | None:
        state = cluster.fresh_state(node)
        if state is None and not cluster.running(node):
            raise ClusterError(f"{node} ended: {cluster.logs(node).decode(errors='replace').strip()[-300:]}")
        return state.timeline if state is not None and not state.in_recovery else None

    timeline = wait_for(writes, within_s=RESTORED_WITHIN_S, what=f"{node} to be restored", every_s=0.1)
    if before is not None and timeline == before.timeline:
        raise ClusterError(f"{node} writes on timeline {timeline}, as before: expected a new one; it was not restored")
    for name in RECOVERY:
        cluster.sql(node, f"ALTER SYSTEM RESET {name}")
    return Restored(node, timeline)


def stop(cluster: Cluster, nodes: list[str]) -> None:
    """A fast shutdown of each, in that order: a primary sends what it wrote to its copies before it ends."""
    for name in nodes:
        if cluster.running(name):
            cluster.container(name).kill(signal="SIGINT")
        wait_for(lambda name=name: not cluster.standing_up(name), within_s=STOPPED_WITHIN_S, what=f"{name} to be stopped")


def copies_of(cluster: Cluster, group: Group, node: str) -> list[str]:
    return [one.name for one in cluster.topology.members(group.name) if one.name != node]


def copies_anew(cluster: Cluster, node: str) -> list[str]:
    """Throws away what the copies of that primary have, and makes them from it; returns them once they stream and confirm."""
    group = cluster.topology.group_of(node)
    copies = copies_of(cluster, group, node)
    for name in copies:
        cluster.put_file(name, f"{DATA_DIRECTORY}/rebuild", "")
    cluster.start(copies)

    def whole() -> bool:
        manager_of(group).make_whole(cluster, group)
        return fully_redundant(cluster)

    wait_for(whole, within_s=COPIED_WITHIN_S, what=f"{', '.join(copies)} to stream from {node}", every_s=0.2)
    return copies


def go_back(cluster: Cluster) -> None:
    """All of it, one after the other: what a heal does where no runbook did. Raises ClusterError or TimeoutError."""
    door = cluster.topology.door.centers
    cluster.open_door_to([], closed=door)
    primary = cluster.wait_primary(within_s=30).name
    statement = find_statement(cluster, primary)
    archive_all(cluster, primary)
    restore_before(cluster, primary, statement)
    copies_anew(cluster, primary)
    cluster.open_door_to(door)
