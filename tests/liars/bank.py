"""How a liar rewrites the bank's function `pay`. No liar itself: it has no verdict."""

from __future__ import annotations

from topologies.cluster import Cluster


def rewrite_pay(cluster: Cluster, old: str, new: str, *, grant: str | None = None) -> None:
    """Replace `old` by `new` in the source of `pay` on the primary."""
    primary = cluster.wait_primary(within_s=10).name
    source = str(cluster.sql(primary, "SELECT pg_get_functiondef('pay'::regproc)")[0][0])
    assert old in source
    cluster.sql(primary, source.replace(old, new, 1))
    if grant is not None:
        cluster.sql(primary, grant)
