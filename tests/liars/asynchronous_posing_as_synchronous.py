"""synchronous_standby_names says that two copies must confirm, and each payment sets synchronous_commit = local for itself alone.

Neither the server nor a role or a function says so: it is hidden in the body of `pay`.

Caught by the customers' list: the center dies while its links are slow, and acknowledged payments are on the dead disk alone.
"""

from __future__ import annotations

from faults.power_loss import CenterPowerLoss
from harness.conditions import service_restored
from harness.run import Run
from runtime.cluster import Cluster
from tests.liars.bank import rewrite_pay

VERDICT, CAUGHT_BY = "FAIL", r"^Lost payments [1-9]"


def sabotage(cluster: Cluster) -> None:
    rewrite_pay(cluster, "BEGIN\n", "BEGIN\n  PERFORM set_config('synchronous_commit', 'local', true);\n")
    cluster.set_latency({("dc1", "dc2"): 300, ("dc1", "dc3"): 300})


def body(run: Run) -> None:
    with run.fault(CenterPowerLoss("dc1")):
        run.until(service_restored, within_s=120)
