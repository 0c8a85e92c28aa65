"""The fault says that it kills one node, and kills another one with it.

Caught by its proof: a bystander does not answer.
"""

from __future__ import annotations

from faults.node_killed import NodeKilled
from harness.conditions import service_restored
from harness.run import Run
from runtime.cluster import Cluster

VERDICT, CAUGHT_BY = "INVALID", r"bystander dc2-b"


class Wider(NodeKilled):
    """Kills dc2-b too, and says nothing of it."""

    def inject(self, cluster: Cluster) -> None:
        super().inject(cluster)
        cluster.kill(["dc2-b"])

    def heal(self, cluster: Cluster) -> None:
        super().heal(cluster)
        cluster.start(["dc2-b"])


def body(run: Run) -> None:
    with run.fault(Wider("dc2-haproxy")):
        run.until(service_restored, within_s=60)
