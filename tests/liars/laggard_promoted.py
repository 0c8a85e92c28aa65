"""Two copies in the other center stream, by their primary's word, and have received nothing for seconds: one of them is promoted.

Replication is asynchronous, nobody notices that the lag grows (the senders are frozen), and the manager may promote a copy
however far behind it is.

Caught by the customers' list: what was acknowledged since the senders froze is on the dead disk alone.
"""

from __future__ import annotations

from faults.power_loss import CenterPowerLoss
from harness import runbooks
from harness.conditions import service_restored
from harness.run import Run
from managers import patroni
from runtime.cluster import Cluster
from runtime.database import wait_for

VERDICT, CAUGHT_BY = "FAIL", r"^Lost payments [1-9]\d\d"  # seconds of them, not what a slow link holds
LAGGARDS = ("dc2-a", "dc2-b")


def sabotage(cluster: Cluster) -> None:
    primary = cluster.wait_primary(within_s=10).name
    careless = {
        "synchronous_mode": False,
        "synchronous_mode_strict": False,
        "maximum_lag_on_failover": 1 << 30,
        "postgresql": {"parameters": {"wal_receiver_timeout": "0"}},  # else a copy hangs up on a sender that says nothing
    }
    patroni.call(cluster, primary, "PATCH", "/config", careless)
    wait_for(
        lambda: cluster.sql(primary, "SHOW synchronous_standby_names")[0][0] == "", within_s=20, what="asynchronous replication"
    )
    for node in LAGGARDS:
        wait_for(
            lambda node=node: cluster.sql(node, "SHOW wal_receiver_timeout")[0][0] == "0",
            within_s=20,
            what=f"{node} to be patient",
        )
    senders = cluster.sql(primary, "SELECT pid FROM pg_stat_replication WHERE application_name = ANY(%s)", list(LAGGARDS))
    assert len(senders) == len(LAGGARDS)
    ran = cluster.execute(primary, ["kill", "-STOP", *(str(pid) for (pid,) in senders)])
    assert ran.exit_code == 0, ran.output


def careful_again(cluster: Cluster) -> None:
    primary = cluster.wait_primary(within_s=10).name
    patroni.call(cluster, primary, "PATCH", "/config", {"synchronous_mode": True, "synchronous_mode_strict": True})
    runbooks.rejoin_standbys(cluster)


def body(run: Run) -> None:
    with run.fault(CenterPowerLoss("dc1")):
        run.until(service_restored, within_s=120)
    run.step("bring every copy back", careful_again)
