"""The databases' clock is a minute ahead of the one that customers live by.

Caught by two records of one commit: the time at which a payment says it was committed lies outside its customer's wait.
"""

from __future__ import annotations

from runtime.cluster import Cluster

VERDICT, CAUGHT_BY = "INVALID", r"committed_at"


def sabotage(cluster: Cluster) -> None:
    primary = cluster.wait_primary(within_s=10).name
    cluster.sql(primary, "ALTER TABLE payments ALTER committed_at SET DEFAULT clock_timestamp() + interval '1 minute'")
