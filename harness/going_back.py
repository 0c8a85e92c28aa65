"""What people do after a statement that nobody meant: they notice, close the door, go back to the moment before, and open again.

A part of a drill's body. What was paid in between is given up, and told to the payment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.takeover import DECISION_AFTER_S
from runtime import going_back
from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.nodes import bank_of
from runtime.restoring import first_backup
from topologies.kinds import BANK, KINDS

if TYPE_CHECKING:
    from harness.run import Run

NOTICED_WITHIN_S = 30.0
READY_WITHIN_S = 30.0


def people_go_back(run: Run) -> None:
    """Steps of a runbook, from the books that no longer balance to the open door."""
    run.step("the bank's books no longer balance", books_are_wrong, role="detect")
    run.decide("go back to the moment before", after_s=DECISION_AFTER_S)
    run.step("close the front door", close_the_door)
    statement = run.step("find the statement in the log", find_statement)
    run.step("bring all of the log to the repository", lambda cluster: going_back.archive_all(cluster, primary_of(cluster)))
    run.go_back(statement)
    run.step("make the copies anew, from what was restored", lambda cluster: going_back.copies_anew(cluster, primary_of(cluster)))
    run.step("see that the books balance", books_are_right)
    run.step("open the front door", open_the_door, role="reroute")


def primary_of(cluster: Cluster) -> str:
    return cluster.wait_primary(within_s=30).name


def books_are_wrong(cluster: Cluster) -> None:
    """The bank's own check, which balances every account with its entries, over and over. Waits 30 s for it to find something."""

    def differ() -> int:
        return going_back.books_differ(cluster, primary_of(cluster))

    wait_for(differ, within_s=NOTICED_WITHIN_S, what="an account whose balance is not its opening plus its entries", every_s=0.2)


def books_are_right(cluster: Cluster) -> None:
    """On every copy. Raises ClusterError with the accounts that don't balance."""
    for node in cluster.databases():
        if wrong := going_back.books_differ(cluster, node.name):
            raise ClusterError(f"{wrong} accounts on {node.name} don't balance with their entries: expected none after a restore")


def close_the_door(cluster: Cluster) -> None:
    cluster.open_door_to([], closed=cluster.topology.door.centers)


def find_statement(cluster: Cluster) -> going_back.Statement:
    return going_back.find_statement(cluster, primary_of(cluster))


def open_the_door(cluster: Cluster) -> None:
    """As soon as the banks can write."""
    banks = [cluster.addresses.node(bank_of(cluster.topology.center(name))) for name in cluster.topology.door.centers]

    def ready() -> bool:
        return all(cluster.http_status(f"http://{bank}:{KINDS[BANK].port}{KINDS[BANK].asked}") == 200 for bank in banks)

    wait_for(ready, within_s=READY_WITHIN_S, what="the bank to be ready", every_s=0.02)
    cluster.open_door_to(cluster.topology.door.centers)


def new_backup(cluster: Cluster) -> None:
    """The next restore begins here: what went back has a timeline of its own."""
    primary = primary_of(cluster)
    first_backup(cluster, cluster.topology.group_of(primary), primary)
