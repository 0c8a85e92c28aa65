"""synchronous_standby_names says that two copies must confirm, and the bank's role has synchronous_commit = local: nobody waits.

Caught by the customers' list: the center dies while its links are slow, and acknowledged payments are on the dead disk alone.
"""

from __future__ import annotations

from faults import CenterPowerLoss
from harness.conditions import service_restored
from harness.run import Run
from topologies.cluster import Cluster

VERDICT, CAUGHT_BY = "FAIL", r"^Lost payments [1-9]"


def sabotage(cluster: Cluster) -> None:
    primary = cluster.wait_primary(within_s=10).name
    cluster.sql(primary, "ALTER ROLE bank SET synchronous_commit = local")
    # Roles' settings are read when a connection is made: the pools must make new ones.
    cluster.sql(primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bank'")
    cluster.set_latency({("dc1", "dc2"): 300, ("dc1", "dc3"): 300})


def body(run: Run) -> None:
    with run.fault(CenterPowerLoss("dc1")):
        run.until(service_restored, within_s=120)
