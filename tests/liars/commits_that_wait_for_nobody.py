"""synchronous_standby_names says that two copies must confirm, and the bank's role has synchronous_commit = local: nobody waits.

The links are quick, and no payment is lost: it would have been on another day.

Caught by what the databases say of themselves: what is set for a role counts instead of the server's word.
"""

from __future__ import annotations

from faults.power_loss import CenterPowerLoss
from harness.conditions import service_restored
from harness.run import Run
from runtime.cluster import Cluster

VERDICT, CAUGHT_BY = "INVALID", r"dc1-a, the primary .* ran with synchronous_commit=local for role bank, .* of a power loss"


def sabotage(cluster: Cluster) -> None:
    primary = cluster.wait_primary(within_s=10).name
    cluster.sql(primary, "ALTER ROLE bank SET synchronous_commit = local")
    # Roles' settings are read when a connection is made: the pools must make new ones.
    cluster.sql(primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bank'")


def body(run: Run) -> None:
    with run.fault(CenterPowerLoss("dc1")):
        run.until(service_restored, within_s=120)
