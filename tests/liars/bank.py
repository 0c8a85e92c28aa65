"""How a liar rewrites the bank: its function `pay`, or its program. No liar itself: it has no verdict."""

from __future__ import annotations

from runtime.cluster import Cluster
from runtime.database import wait_for


def rewrite_pay(cluster: Cluster, old: str, new: str, *, grant: str | None = None) -> None:
    """Replace `old` by `new` in the source of `pay` on the primary."""
    primary = cluster.wait_primary(within_s=10).name
    source = str(cluster.sql(primary, "SELECT pg_get_functiondef('pay'::regproc)")[0][0])
    assert old in source
    cluster.sql(primary, source.replace(old, new, 1))
    if grant is not None:
        cluster.sql(primary, grant)


def rewrite_program(cluster: Cluster, old: str, new: str) -> None:
    """Replace `old` by `new` in the program of each bank, and start it again, one after the other: the door stays open."""
    for bank in [node.name for node in cluster.topology.nodes("bank")]:
        script = (
            "import pathlib\n"
            "p = pathlib.Path('/opt/drillbook/bank.py'); text = p.read_text()\n"
            f"assert {old!r} in text\n"
            f"p.write_text(text.replace({old!r}, {new!r}))"
        )
        ran = cluster.execute(bank, ["python3", "-c", script])
        assert ran.exit_code == 0, ran.output
        cluster.kill([bank])
        cluster.start([bank])
        center = cluster.topology.center_of(bank).name
        if not cluster.door_servers()[center].startswith("MAINT"):
            wait_for(
                lambda center=center: cluster.door_servers()[center].startswith("UP"), within_s=30, what=f"{bank} at the door"
            )
